use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions, DepthwiseProblem, reference};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{abs, poison, upload};
use proptest::prelude::*;

/// Neither are all of them multiples of a vector's width, nor are all of their quotients even.
const CHANNELS: [usize; 9] = [1, 3, 10, 12, 16, 24, 36, 60, 100];
/// The reference visits each product eight times in a case; this keeps a case to some tens of milliseconds at most.
const MOST_MACS: u64 = 600_000;

/// The names of the results, in the order of [`Operands::run`].
pub const RESULTS: [&str; 4] = ["depthwise", "grad_input", "grad_weight", "grad_bias"];

/// Input, weight, bias and gradient of the output, on the host.
#[derive(Clone)]
pub struct Operands {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub b: Vec<f64>,
    pub g: Vec<f64>,
}

impl Operands {
    /// Operands of `problem` whose values `draw` makes from a seed and a count.
    pub fn draw(problem: &DepthwiseProblem, seed: u64, draw: fn(u64, usize) -> Vec<f64>) -> Self {
        let len = |shape: &[usize]| shape.iter().product();
        Self {
            x: draw(seed, len(&problem.input_shape())),
            w: draw(seed + 1, len(&problem.weight_shape())),
            b: draw(seed + 2, problem.out_channels()),
            g: draw(seed + 3, len(&problem.output_shape())),
        }
    }

    /// The output with its bias and the gradients with respect to input, weight and bias, on memory full of NaN.
    pub fn run(&self, problem: &DepthwiseProblem, dtype: DType) -> [Tensor; 4] {
        let x = upload(&self.x, &problem.input_shape(), dtype);
        let w = upload(&self.w, &problem.weight_shape(), dtype);
        let b = upload(&self.b, &[problem.out_channels()], dtype);
        let g = upload(&self.g, &problem.output_shape(), dtype);
        poison(dtype, &[x.len(), w.len(), g.len()]);
        let options = problem.options;
        let y = depthwise::depthwise(&x, &w, Some(&b), options).unwrap();
        let grad_x = depthwise::grad_input(&x, &w, &g, options).unwrap();
        let [grad_w, grad_b] = depthwise::grad_weight_and_bias(&x, &w, &g, options).unwrap();
        assert_eq!(y.shape(), problem.output_shape());
        assert_eq!(grad_x.shape(), problem.input_shape());
        assert_eq!(grad_w.shape(), problem.weight_shape());
        assert_eq!(grad_b.shape(), [problem.out_channels()]);
        [y, grad_x, grad_w, grad_b]
    }

    /// What [`Self::run`] should find.
    pub fn reference(&self, problem: &DepthwiseProblem) -> [Vec<f64>; 4] {
        [
            reference::forward(problem, &self.x, &self.w, Some(&self.b)),
            reference::grad_input(problem, &self.w, &self.g),
            reference::grad_weight(problem, &self.x, &self.g),
            reference::grad_bias(problem, &self.g),
        ]
    }

    /// The same operands without their signs: their results are the magnitudes of the sums.
    pub fn abs(&self) -> Self {
        Self {
            x: abs(&self.x),
            w: abs(&self.w),
            b: abs(&self.b),
            g: abs(&self.g),
        }
    }
}

/// A problem in the order in which a table of corners is read.
pub fn problem(
    [batch, h, w]: [usize; 3],
    kernel: [usize; 2],
    [channels, multiplier]: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: [usize; 4],
) -> DepthwiseProblem {
    DepthwiseProblem {
        batch,
        input: [h, w],
        kernel,
        channels,
        multiplier,
        options: DepthwiseOptions {
            stride,
            dilation,
            padding,
        },
        dtype: DType::F64,
    }
}

/// Vertical sides of a kernel with its horizontal ones: each horizontal variant is a kernel of its own to compile.
const KERNELS: [[usize; 2]; 5] = [[2, 3], [3, 3], [5, 5], [6, 7], [4, 11]];
/// Stride and dilation of the horizontal axis; the vertical one takes any.
const STEPS: [[usize; 2]; 4] = [[1, 1], [2, 1], [1, 2], [3, 2]];

/// Random problems: strides past the kernel, dilations with and without a common divisor, paddings up to the window's edge and of
/// each side's own, single pixels, columns and rows, empty batches, multipliers, and images past one tile.
pub fn problems() -> impl Strategy<Value = DepthwiseProblem> {
    let beyond = || prop_oneof![2 => Just(0usize), 4 => 1usize..8, 3 => 8usize..40];
    let index = any::<prop::sample::Index>;
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4, 1 => 30usize..50];
    (
        (batch, prop::sample::select(&CHANNELS[..])),
        prop_oneof![4 => Just(1usize), 1 => Just(2usize), 1 => Just(3usize), 1 => Just(4usize)],
        prop::sample::select(&KERNELS[..]),
        (1usize..=5, 1usize..=4),
        prop::sample::select(&STEPS[..]),
        [index(), index(), index(), index()],
        [beyond(), beyond()],
    )
        .prop_map(
            |((mut batch, channels), multiplier, kernel, v, [sh, dh], padding, mut beyond)| {
                let (stride, dilation) = ([v.0, sh], [v.1, dh]);
                let span = [0, 1].map(|axis| dilation[axis] * (kernel[axis] - 1));
                let padding = [0, 1, 2, 3].map(|side| padding[side].index(span[side / 2] + 1));
                let smallest = [0, 1].map(|axis| {
                    let padded = padding[2 * axis] + padding[2 * axis + 1];
                    (span[axis] + 1).saturating_sub(padded).max(1)
                });
                loop {
                    let size = [batch, smallest[0] + beyond[0], smallest[1] + beyond[1]];
                    let shared = [channels, multiplier];
                    let problem = problem(size, kernel, shared, stride, dilation, padding);
                    if problem.cost().macs <= MOST_MACS || (batch <= 1 && beyond == [0, 0]) {
                        return problem;
                    }
                    batch = batch.div_ceil(2);
                    beyond = beyond.map(|pixels| pixels / 2);
                }
            },
        )
}
