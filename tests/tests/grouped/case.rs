use ghostlight_kernels::conv::grouped::{self, ConvOptions, GroupedProblem, reference};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{abs, poison, upload};
use proptest::prelude::*;

/// `[groups, in, out]`, channels a group: one group, one channel, divisors of a vector, sizes that straddle vectors, sizes past
/// one, and unequal ones.
const GROUPS: [[usize; 3]; 21] = [
    [1, 3, 10],
    [1, 16, 24],
    [1, 17, 1],
    [4, 1, 1],
    [33, 1, 1],
    [3, 1, 3],
    [8, 2, 2],
    [5, 3, 3],
    [8, 4, 4],
    [7, 4, 4],
    [4, 8, 8],
    [5, 8, 8],
    [6, 6, 6],
    [3, 12, 12],
    [2, 18, 18],
    [2, 24, 24],
    [3, 16, 16],
    [2, 36, 20],
    [4, 2, 12],
    [3, 20, 5],
    [2, 48, 52],
];
/// The reference visits each product six times in a case; this keeps a case to some tens of milliseconds at most.
const MOST_MACS: u64 = 1_000_000;

/// The names of the three results, in the order of [`Operands::run`].
pub const RESULTS: [&str; 3] = ["conv", "grad_input", "grad_weight"];

/// Input, weight and gradient of the output, on the host.
#[derive(Clone)]
pub struct Operands {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub g: Vec<f64>,
}

impl Operands {
    /// Operands of `problem` whose values `draw` makes from a seed and a count.
    pub fn draw(problem: &GroupedProblem, seed: u64, draw: fn(u64, usize) -> Vec<f64>) -> Self {
        let len = |shape: [usize; 4]| shape.iter().product();
        Self {
            x: draw(seed, len(problem.input_shape())),
            w: draw(seed + 1, len(problem.weight_shape())),
            g: draw(seed + 2, len(problem.output_shape())),
        }
    }

    /// The output and the gradients with respect to input and weight, on memory full of NaN.
    pub fn run(&self, problem: &GroupedProblem, dtype: DType) -> [Tensor; 3] {
        let x = upload(&self.x, &problem.input_shape(), dtype);
        let w = upload(&self.w, &problem.weight_shape(), dtype);
        let g = upload(&self.g, &problem.output_shape(), dtype);
        poison(dtype, &[x.len(), w.len(), g.len()]);
        let results = all(problem, &x, &w, &g);
        assert_eq!(results[0].shape(), problem.output_shape());
        assert_eq!(results[1].shape(), problem.input_shape());
        assert_eq!(results[2].shape(), problem.weight_shape());
        results
    }

    /// What [`Self::run`] should find.
    pub fn reference(&self, problem: &GroupedProblem) -> [Vec<f64>; 3] {
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

/// The output and both gradients.
pub fn all(problem: &GroupedProblem, x: &Tensor, w: &Tensor, g: &Tensor) -> [Tensor; 3] {
    let (groups, options) = (problem.groups, problem.options);
    [
        grouped::conv(x, w, groups, options).unwrap(),
        grouped::grad_input(x, w, g, groups, options).unwrap(),
        grouped::grad_weight(x, w, g, groups, options).unwrap(),
    ]
}

/// A problem in the order in which a table of corners is read; `groups, in, out` with the channels of one group.
pub fn problem(
    [batch, h, w]: [usize; 3],
    kernel: [usize; 2],
    [groups, group_in, group_out]: [usize; 3],
    stride: [usize; 2],
    padding: [usize; 2],
) -> GroupedProblem {
    GroupedProblem {
        batch,
        input: [h, w],
        kernel,
        in_channels: groups * group_in,
        out_channels: groups * group_out,
        groups,
        options: ConvOptions { stride, padding },
        dtype: DType::F64,
    }
}

/// Random problems: kernels of 1 to 5 and 7, strides past the kernel, paddings up to its edge, single pixels, columns and rows,
/// empty batches and images past one tile, all of them chosen for each axis by itself.
pub fn problems() -> impl Strategy<Value = GroupedProblem> {
    let axis = || {
        let kernel = prop_oneof![4 => Just(3usize), 6 => 1usize..=5, 1 => Just(7usize)];
        let stride = prop_oneof![4 => Just(1usize), 3 => Just(2usize), 2 => 3usize..=6];
        let beyond = prop_oneof![2 => Just(0usize), 4 => 1usize..8, 3 => 8usize..40];
        (kernel, stride, any::<prop::sample::Index>(), beyond).prop_map(
            |(kernel, stride, padding, beyond)| {
                let padding = padding.index(kernel);
                let smallest = kernel.saturating_sub(2 * padding).max(1);
                (kernel, stride, padding, smallest, beyond)
            },
        )
    };
    let groups = prop::sample::select(&GROUPS[..]);
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4, 1 => 30usize..50];
    (batch, axis(), axis(), groups).prop_map(move |(batch, v, h, groups)| {
        let (mut batch, mut beyond) = (batch, [v.4, h.4]);
        loop {
            let size = [batch, v.3 + beyond[0], h.3 + beyond[1]];
            let problem = problem(size, [v.0, h.0], groups, [v.1, h.1], [v.2, h.2]);
            if problem.cost().macs <= MOST_MACS || (batch <= 1 && beyond == [0, 0]) {
                return problem;
            }
            batch = batch.div_ceil(2);
            beyond = beyond.map(|pixels| pixels / 2);
        }
    })
}
