//! The inference convolution with what follows it, against the convolution's and the batch norm's own references.

use super::case::{problem, problems, strategy};
use ghostlight_kernels::conv::dense::{self, Affine, ConvProblem, reference};
use ghostlight_kernels::{Clamp, KernelError, Tensor};
use ghostlight_tests::{
    FusedConvolution, NOT_FINITE, assert_fused_is_composed, assert_fused_refuses,
    assert_not_finite_passes_fused,
};
use proptest::prelude::*;

struct Fused(ConvProblem);

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
        self.0.kernel[0] * self.0.kernel[1] * self.0.in_channels
    }

    fn reference(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        reference::forward(&self.0, x, w)
    }

    fn launch(&self, x: &Tensor, w: &Tensor, affine: &Affine) -> Result<Tensor, KernelError> {
        dense::conv_by(strategy(&self.0), x, w, self.0.options, Some(affine))
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(24))]

    #[test]
    fn the_fused_inference_convolution_is_a_convolution_and_a_batch_norm(
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
    assert_fused_refuses(&Fused(problem([1, 5, 5], [3, 3], [3, 8], [1, 1], [1, 1])));
}
