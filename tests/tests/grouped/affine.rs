//! The grouped inference convolution with what follows it, against the convolution's and the batch norm's own references.

use super::case::{problem, problems};
use ghostlight_kernels::conv::grouped::{self, Affine, GroupedProblem, reference};
use ghostlight_kernels::{Clamp, KernelError, Tensor};
use ghostlight_tests::{
    FusedConvolution, NOT_FINITE, assert_fused_is_composed, assert_fused_refuses,
    assert_not_finite_passes_fused,
};
use proptest::prelude::*;

struct Fused(GroupedProblem);

impl FusedConvolution for Fused {
    fn shapes(&self) -> [[usize; 4]; 3] {
        let Self(problem) = self;
        [
            problem.input_shape(),
            problem.weight_shape(),
            problem.output_shape(),
        ]
    }

    fn products(&self) -> usize {
        self.0.kernel[0] * self.0.kernel[1] * self.0.group()[0]
    }

    fn reference(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        reference::forward(&self.0, x, w)
    }

    fn launch(&self, x: &Tensor, w: &Tensor, affine: &Affine) -> Result<Tensor, KernelError> {
        grouped::conv_affine(x, w, self.0.groups, self.0.options, affine)
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(6))]

    #[test]
    fn the_fused_inference_convolution_is_a_grouped_convolution_and_a_batch_norm(
        problem in problems(),
        seed: u32,
        with_residual: bool,
        clamp in prop::sample::select(&Clamp::ALL[..]),
    ) {
        assert_fused_is_composed(&Fused(problem), seed, with_residual, clamp);
    }

    #[test]
    fn what_is_not_finite_passes_the_fused_relu_as_it_passes_the_composition(
        problem in problems(),
        seed: u32,
        operand in 0usize..5,
        place: prop::sample::Index,
        value in prop::sample::select(&NOT_FINITE[..]),
    ) {
        assert_not_finite_passes_fused(&Fused(problem), seed, operand, place, value);
    }
}

#[test]
fn operands_that_do_not_fit_the_output_are_refused() {
    assert_fused_refuses(&Fused(problem(
        [1, 5, 5],
        [3, 3],
        [2, 3, 4],
        [1, 1],
        [1, 1],
    )));
}
