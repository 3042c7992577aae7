use ghostlight_kernels::conv::dense::{self, ConvOptions, ConvProblem, reference};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{abs, poison, upload};
use proptest::prelude::*;

/// Neither are all of them multiples of a vector's width, nor are all of their quotients even.
const CHANNELS: [usize; 8] = [1, 3, 10, 16, 24, 32, 48, 72];
/// The reference visits each product six times in a case; this keeps a case to some tens of milliseconds at most.
const MOST_MACS: u64 = 1_500_000;

/// The names of the three results, in the order of [`Operands::run`].
pub const RESULTS: [&str; 3] = ["conv", "grad_input", "grad_weight"];

/// `Auto`, or the direct sum where that may not be what `Auto` takes: Winograd's filtering has a budget of errors and tests of its own.
pub fn strategy(problem: &ConvProblem) -> dense::Strategy {
    let channels = problem.in_channels.min(problem.out_channels);
    if problem.kernel == [3, 3] && channels >= 16 {
        dense::Strategy::Direct
    } else {
        dense::Strategy::Auto
    }
}

/// Input, weight and gradient of the output, on the host.
#[derive(Clone)]
pub struct Operands {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub g: Vec<f64>,
}

impl Operands {
    /// Operands of `problem` whose values `draw` makes from a seed and a count.
    pub fn draw(problem: &ConvProblem, seed: u64, draw: fn(u64, usize) -> Vec<f64>) -> Self {
        let len = |shape: [usize; 4]| shape.iter().product();
        Self {
            x: draw(seed, len(problem.input_shape())),
            w: draw(seed + 1, len(problem.weight_shape())),
            g: draw(seed + 2, len(problem.output_shape())),
        }
    }

    /// The output and the gradients with respect to input and weight, on memory full of NaN.
    pub fn run(&self, problem: &ConvProblem, dtype: DType) -> [Tensor; 3] {
        let x = upload(&self.x, &problem.input_shape(), dtype);
        let w = upload(&self.w, &problem.weight_shape(), dtype);
        let g = upload(&self.g, &problem.output_shape(), dtype);
        poison(dtype, &[x.len(), w.len(), g.len()]);
        let options = problem.options;
        let results = [
            dense::conv_by(strategy(problem), &x, &w, options, None).unwrap(),
            dense::grad_input_by(strategy(problem), &x, &w, &g, options, None).unwrap(),
            dense::grad_weight_by(strategy(problem), &x, &w, &g, options).unwrap(),
        ];
        assert_eq!(results[0].shape(), problem.output_shape());
        assert_eq!(results[1].shape(), problem.input_shape());
        assert_eq!(results[2].shape(), problem.weight_shape());
        results
    }

    /// What [`Self::run`] should find.
    pub fn reference(&self, problem: &ConvProblem) -> [Vec<f64>; 3] {
        [
            reference::forward(problem, &self.x, &self.w),
            reference::grad_input(problem, &self.w, &self.g),
            reference::grad_weight(problem, &self.x, &self.g),
        ]
    }

    /// The same operands without their signs: their results are the magnitudes of the sums.
    pub fn abs(&self) -> Self {
        Self {
            x: abs(&self.x),
            w: abs(&self.w),
            g: abs(&self.g),
        }
    }
}

/// A problem in the order in which a table of corners is read.
pub fn problem(
    [batch, h, w]: [usize; 3],
    kernel: [usize; 2],
    [in_channels, out_channels]: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> ConvProblem {
    ConvProblem {
        batch,
        input: [h, w],
        kernel,
        in_channels,
        out_channels,
        options: ConvOptions { stride, padding },
        dtype: DType::F64,
    }
}

/// Random problems: kernels of 1 to 5 and 7, strides past the kernel, paddings up to its edge, single pixels, columns and rows,
/// empty batches and images past one tile, all of them chosen for each axis by itself.
pub fn problems() -> impl Strategy<Value = ConvProblem> {
    let axis = || {
        let kernel = prop_oneof![9 => 1usize..=5, 1 => Just(7usize)];
        let beyond = prop_oneof![2 => Just(0usize), 4 => 1usize..8, 3 => 8usize..40];
        (kernel, 1usize..=6, any::<prop::sample::Index>(), beyond).prop_map(
            |(kernel, stride, padding, beyond)| {
                let padding = padding.index(kernel);
                let smallest = kernel.saturating_sub(2 * padding).max(1);
                (kernel, stride, padding, smallest, beyond)
            },
        )
    };
    let channels = || prop::sample::select(&CHANNELS[..]);
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4, 1 => 30usize..50];
    (batch, axis(), axis(), channels(), channels()).prop_map(move |(batch, v, h, ci, co)| {
        let (mut batch, mut beyond) = (batch, [v.4, h.4]);
        loop {
            let size = [batch, v.3 + beyond[0], h.3 + beyond[1]];
            let problem = problem(size, [v.0, h.0], [ci, co], [v.1, h.1], [v.2, h.2]);
            if problem.cost().macs <= MOST_MACS || (batch <= 1 && beyond == [0, 0]) {
                return problem;
            }
            batch = batch.div_ceil(2);
            beyond = beyond.map(|pixels| pixels / 2);
        }
    })
}
