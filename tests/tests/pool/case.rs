use ghostlight_kernels::pool::adaptive_average::{self, AdaptiveAverageProblem};
use ghostlight_kernels::pool::average::{self, AveragePoolOptions, AveragePoolProblem};
use ghostlight_kernels::pool::max::{self, MaxPoolOptions, MaxPoolProblem};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{abs, poison, upload};
use proptest::prelude::*;

/// Fewer than a vector, a few, not quite a few, many.
const CHANNELS: [usize; 9] = [1, 3, 10, 12, 16, 36, 60, 64, 100];
/// The reference visits each of these a few times; this keeps a case to some tens of milliseconds.
const MOST_TAPS: usize = 400_000;

/// What is done with the pixels under a window.
#[derive(Clone, Copy, Debug)]
pub enum Pool {
    Max(MaxPoolOptions),
    Average(AveragePoolOptions),
    Adaptive([usize; 2]),
}

/// One pooling of an input `[n, h, w, c]`.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub input: [usize; 4],
    pub pool: Pool,
}

impl Case {
    fn max(&self, dtype: DType, options: MaxPoolOptions) -> MaxPoolProblem {
        MaxPoolProblem::new(self.input, dtype, options).unwrap()
    }

    fn average(&self, dtype: DType, options: AveragePoolOptions) -> AveragePoolProblem {
        AveragePoolProblem::new(self.input, dtype, options).unwrap()
    }

    fn adaptive(&self, dtype: DType, output: [usize; 2]) -> AdaptiveAverageProblem {
        AdaptiveAverageProblem::new(self.input, dtype, output).unwrap()
    }

    /// `[n, oh, ow, c]`.
    pub fn output(&self) -> [usize; 4] {
        match self.pool {
            Pool::Max(options) => self.max(DType::F64, options).output_shape(),
            Pool::Average(options) => self.average(DType::F64, options).output_shape(),
            Pool::Adaptive(output) => self.adaptive(DType::F64, output).output_shape(),
        }
    }

    /// Elements of input and output.
    pub fn lens(&self) -> [usize; 2] {
        [self.input, self.output()].map(|shape| shape.iter().product())
    }

    /// The most pixels under one window, and the most windows over one pixel.
    pub fn terms(&self) -> [usize; 2] {
        let [_, h, w, _] = self.input;
        match self.pool {
            Pool::Max(MaxPoolOptions { kernel, .. })
            | Pool::Average(AveragePoolOptions { kernel, .. }) => [kernel[0] * kernel[1]; 2],
            Pool::Adaptive([oh, ow]) => {
                let most = |a: usize, b: usize| a.div_ceil(b) + 1;
                [most(h, oh) * most(w, ow), most(oh, h) * most(ow, w)]
            }
        }
    }

    /// Output and gradient for tensors that may be windows.
    pub fn apply(&self, x: &Tensor, g: &Tensor) -> [Tensor; 2] {
        match self.pool {
            Pool::Max(options) => {
                let (y, winners) = max::train(x, options).unwrap();
                [y, max::backward(&winners, g).unwrap()]
            }
            Pool::Average(options) => {
                let problem = self.average(x.dtype(), options);
                let grad = average::backward(&problem, g).unwrap();
                [average::average_pool(x, options).unwrap(), grad]
            }
            Pool::Adaptive(output) => {
                let problem = self.adaptive(x.dtype(), output);
                let grad = adaptive_average::backward(&problem, g).unwrap();
                [adaptive_average::adaptive_average(x, output).unwrap(), grad]
            }
        }
    }

    /// Output and gradient, on memory full of NaN.
    pub fn run(&self, x: &[f64], g: &[f64], dtype: DType) -> [Tensor; 2] {
        let (x, g) = (
            upload(x, &self.input, dtype),
            upload(g, &self.output(), dtype),
        );
        poison(dtype, &[x.len(), g.len()]);
        let results = self.apply(&x, &g);
        assert_eq!(results[0].shape(), self.output());
        assert_eq!(results[1].shape(), self.input);
        results
    }

    /// The sums of the magnitudes of the terms that each value and each gradient is made of.
    pub fn magnitudes(&self, x: &[f64], g: &[f64]) -> [Vec<f64>; 2] {
        match self.pool {
            // The maximum of magnitudes sits elsewhere: values are one term, and each gradient goes where it went.
            Pool::Max(_) => {
                let [values, gradients] = self.reference(x, &abs(g));
                [abs(&values), gradients]
            }
            _ => self.reference(&abs(x), &abs(g)),
        }
    }

    /// What [`Self::run`] should find.
    pub fn reference(&self, x: &[f64], g: &[f64]) -> [Vec<f64>; 2] {
        match self.pool {
            Pool::Max(options) => {
                let problem = self.max(DType::F64, options);
                [
                    max::reference::forward(&problem, x),
                    max::reference::backward(&problem, x, g),
                ]
            }
            Pool::Average(options) => {
                let problem = self.average(DType::F64, options);
                [
                    average::reference::forward(&problem, x),
                    average::reference::backward(&problem, g),
                ]
            }
            Pool::Adaptive(output) => {
                let problem = self.adaptive(DType::F64, output);
                [
                    adaptive_average::reference::forward(&problem, x),
                    adaptive_average::reference::backward(&problem, g),
                ]
            }
        }
    }
}

/// One axis of sliding windows: kernel, stride, padding, dilation and the size that they slide over.
fn axis(ceil_mode: bool, dilated: bool) -> impl Strategy<Value = [usize; 5]> {
    let kernel = prop_oneof![9 => 1usize..=5, 1 => Just(9usize)];
    let dilation = if dilated { 1usize..=3 } else { 1..=1 };
    let beyond = prop_oneof![2 => Just(0usize), 4 => 1usize..8, 3 => 8usize..24];
    (
        kernel,
        1usize..=6,
        any::<prop::sample::Index>(),
        dilation,
        beyond,
    )
        .prop_map(move |(kernel, stride, padding, dilation, beyond)| {
            let padding = padding.index(kernel / 2 + 1);
            let leftover = if ceil_mode { stride - 1 } else { 0 };
            let reach = (kernel - 1) * dilation + 1;
            let smallest = reach.saturating_sub(2 * padding + leftover).max(1);
            [kernel, stride, padding, dilation, smallest + beyond]
        })
}

fn pick<const I: usize>(axes: [[usize; 5]; 2]) -> [usize; 2] {
    axes.map(|axis| axis[I])
}

fn pools() -> impl Strategy<Value = ([usize; 2], Pool)> {
    let sliding = |dilated: bool| {
        any::<bool>().prop_flat_map(move |ceil_mode| {
            [axis(ceil_mode, dilated), axis(ceil_mode, dilated)].prop_map(move |v| (v, ceil_mode))
        })
    };
    let max = sliding(true).prop_map(|(axes, ceil_mode)| {
        let options = MaxPoolOptions {
            kernel: pick::<0>(axes),
            stride: pick::<1>(axes),
            padding: pick::<2>(axes),
            dilation: pick::<3>(axes),
            ceil_mode,
        };
        (pick::<4>(axes), Pool::Max(options))
    });
    let average = (sliding(false), any::<bool>()).prop_map(|((axes, ceil_mode), include)| {
        let options = AveragePoolOptions {
            kernel: pick::<0>(axes),
            stride: pick::<1>(axes),
            padding: pick::<2>(axes),
            ceil_mode,
            count_include_pad: include,
        };
        (pick::<4>(axes), Pool::Average(options))
    });
    let side = || prop_oneof![1 => Just(1usize), 6 => 2usize..12, 2 => 12usize..30];
    let adaptive = ([side(), side()], [side(), side()])
        .prop_map(|(input, output)| (input, Pool::Adaptive(output)));
    prop_oneof![max, average, adaptive]
}

/// Random cases of all poolings: windows past the image, strides past the window, windows over nothing but padding, growing and
/// shrinking bins, empty batches.
pub fn cases() -> impl Strategy<Value = Case> {
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4];
    (pools(), batch, prop::sample::select(&CHANNELS[..])).prop_map(|((side, pool), batch, c)| {
        let mut case = Case {
            input: [batch, side[0], side[1], c],
            pool,
        };
        let work = |case: &Case| {
            let [input, output] = case.lens();
            input.max(output * case.terms()[0])
        };
        while work(&case) > MOST_TAPS && case.input[0] > 1 {
            case.input[0] -= 1;
        }
        while work(&case) > MOST_TAPS && case.input[3] > 1 {
            case.input[3] /= 2;
        }
        case
    })
}

/// A few cases whose shapes matter to nobody.
pub fn several() -> [Case; 5] {
    let dilated = MaxPoolOptions {
        dilation: [2, 1],
        ceil_mode: true,
        ..MaxPoolOptions::square(3, 2, 1)
    };
    let uncounted = AveragePoolOptions {
        count_include_pad: false,
        ..AveragePoolOptions::square(3, 2, 1)
    };
    [
        ([3, 11, 9, 24], Pool::Max(MaxPoolOptions::square(3, 2, 1))),
        ([2, 9, 14, 10], Pool::Max(dilated)),
        ([3, 10, 13, 36], Pool::Average(uncounted)),
        ([3, 13, 11, 20], Pool::Adaptive([3, 4])),
        ([2, 3, 4, 100], Pool::Adaptive([5, 7])),
    ]
    .map(|(input, pool)| Case { input, pool })
}
