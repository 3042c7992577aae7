use ghostlight_kernels::resize::bilinear::{self, Alignment, BilinearProblem, reference};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{poison, upload};
use proptest::prelude::*;

/// Fewer than a vector, a few, not quite a few, many.
const CHANNELS: [usize; 8] = [1, 3, 10, 12, 16, 36, 64, 100];
/// The reference visits each of these a few times; this keeps a case to some tens of milliseconds.
const MOST_ELEMENTS: usize = 60_000;

/// One resizing of an input `[n, h, w, c]`.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub input: [usize; 4],
    pub size: [usize; 2],
    pub alignment: Alignment,
}

impl Case {
    pub fn problem(&self, dtype: DType) -> BilinearProblem {
        BilinearProblem::new(self.input, dtype, self.size, self.alignment).unwrap()
    }

    /// `[n, oh, ow, c]`.
    pub fn output(&self) -> [usize; 4] {
        self.problem(DType::F64).output_shape()
    }

    /// Elements of input and output.
    pub fn lens(&self) -> [usize; 2] {
        [self.input, self.output()].map(|shape| shape.iter().product())
    }

    /// The most outputs that read one pixel.
    pub fn readers(&self) -> usize {
        let [_, h, w, _] = self.input;
        let most = |inputs: usize, outputs: usize| match inputs {
            1 => outputs,
            _ => 2 * outputs.div_ceil(inputs - 1) + 1,
        };
        most(h, self.size[0]) * most(w, self.size[1])
    }

    /// Output and gradient for tensors that may be windows.
    pub fn apply(&self, x: &Tensor, g: &Tensor) -> [Tensor; 2] {
        let grad = bilinear::backward(&self.problem(x.dtype()), g).unwrap();
        [
            bilinear::bilinear(x, self.size, self.alignment).unwrap(),
            grad,
        ]
    }

    /// Output and gradient, on memory full of NaN.
    pub fn run(&self, x: &[f64], g: &[f64], dtype: DType) -> [Tensor; 2] {
        let x = upload(x, &self.input, dtype);
        let g = upload(g, &self.output(), dtype);
        poison(dtype, &[x.len(), g.len()]);
        let results = self.apply(&x, &g);
        assert_eq!(results[0].shape(), self.output());
        assert_eq!(results[1].shape(), self.input);
        results
    }

    /// What [`Self::run`] should find.
    pub fn reference(&self, x: &[f64], g: &[f64]) -> [Vec<f64>; 2] {
        let problem = self.problem(DType::F64);
        [
            reference::forward(&problem, x),
            reference::backward(&problem, g),
        ]
    }
}

pub fn alignments() -> impl Strategy<Value = Alignment> {
    prop_oneof![Just(Alignment::HalfPixel), Just(Alignment::Corners)]
}

/// Random cases: growing, shrinking, by odd factors, to and from single pixels, different along both axes, empty batches.
pub fn cases() -> impl Strategy<Value = Case> {
    let side =
        || prop_oneof![1 => Just(1usize), 1 => Just(2usize), 6 => 3usize..14, 1 => 14usize..40];
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4];
    let channels = prop::sample::select(&CHANNELS[..]);
    let sides = ([side(), side()], [side(), side()]);
    (sides, batch, channels, alignments()).prop_map(|(([h, w], size), batch, c, alignment)| {
        let mut case = Case {
            input: [batch, h, w, c],
            size,
            alignment,
        };
        let work = |case: &Case| case.lens()[0].max(case.lens()[1]);
        while work(&case) > MOST_ELEMENTS && case.input[0] > 1 {
            case.input[0] -= 1;
        }
        while work(&case) > MOST_ELEMENTS && case.input[3] > 1 {
            case.input[3] /= 2;
        }
        case
    })
}

/// A case in the order in which a table is read.
pub fn case(input: [usize; 4], size: [usize; 2], alignment: Alignment) -> Case {
    Case {
        input,
        size,
        alignment,
    }
}

/// A few cases whose shapes matter to nobody.
pub fn several() -> [Case; 4] {
    [
        case([3, 7, 7, 24], [14, 14], Alignment::HalfPixel),
        case([2, 11, 9, 10], [4, 5], Alignment::HalfPixel),
        case([3, 7, 5, 36], [8, 6], Alignment::Corners),
        case([2, 5, 6, 100], [13, 3], Alignment::Corners),
    ]
}
