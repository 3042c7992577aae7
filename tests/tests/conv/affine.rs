//! The inference convolution with what follows it, against the convolution's and the batch norm's own references.

use super::case::{Operands, problem, problems};
use ghostlight_kernels::conv::dense::{self, Affine, ConvProblem, reference};
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm, reference::Layer};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    NOT_FINITE, VALUE, assert_alike, assert_near, assert_refuses_dtype, assert_refuses_shape,
    client, dtypes, naive, poison, reals, upload,
};
use proptest::prelude::*;

const EPSILON: f64 = 1e-3;

/// Statistics and affine map of the norm behind the convolution.
struct Norm {
    gamma: Vec<f64>,
    beta: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Norm {
    fn draw(seed: u64, channels: usize) -> Self {
        Self {
            gamma: reals(seed, channels),
            beta: reals(seed + 1, channels),
            mean: reals(seed + 2, channels),
            variance: reals(seed + 3, channels)
                .iter()
                .map(|v| v.abs() + 0.5)
                .collect(),
        }
    }

    fn upload(&self, dtype: DType) -> BatchNorm {
        let vector = |values: &[f64]| upload(values, &[values.len()], dtype);
        BatchNorm {
            gamma: vector(&self.gamma),
            beta: vector(&self.beta),
            running_mean: vector(&self.mean),
            running_var: vector(&self.variance),
            epsilon: EPSILON,
            momentum: 0.1,
        }
    }
}

fn run(
    problem: &ConvProblem,
    operands: &Operands,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    relu: bool,
) -> Tensor {
    let dtype = norm.gamma.dtype();
    let x = upload(&operands.x, &problem.input_shape(), dtype);
    let w = upload(&operands.w, &problem.weight_shape(), dtype);
    let scale = batch_norm::running_scale(norm).unwrap();
    poison(dtype, &[x.len(), operands.g.len()]);
    let (centre, shift) = (&norm.running_mean, &norm.beta);
    let affine = Affine {
        centre,
        scale: &scale,
        shift,
        residual,
        relu,
    };
    dense::conv_affine(&x, &w, problem.options, &affine).unwrap()
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(24))]

    #[test]
    fn the_fused_inference_convolution_is_a_convolution_and_a_batch_norm(
        problem in problems(),
        seed: u32,
        with_residual: bool,
        relu: bool,
    ) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        let norm = Norm::draw(u64::from(seed) + 9, problem.out_channels);
        let layer = Layer {
            gamma: &norm.gamma,
            beta: &norm.beta,
            epsilon: EPSILON,
            // The third operand has the output's shape.
            residual: with_residual.then_some(operands.g.as_slice()),
            relu,
        };
        let convolved = reference::forward(&problem, &operands.x, &operands.w);
        let wanted = layer.apply(&convolved, &norm.mean, &norm.variance);
        let bare = operands.abs();
        // The scale is at most sqrt(2); mean, shift and residual are at most 1 each.
        let magnitude: Vec<f64> = reference::forward(&problem, &bare.x, &bare.w)
            .iter()
            .map(|sum| 1.5 * (sum + 3.0))
            .collect();
        let terms = problem.kernel[0] * problem.kernel[1] * problem.in_channels + 4;
        for dtype in dtypes() {
            let residual = upload(&operands.g, &problem.output_shape(), dtype);
            let residual = with_residual.then_some(&residual);
            let got = run(&problem, &operands, &norm.upload(dtype), residual, relu);
            assert_near("conv_affine", &got, &wanted, &magnitude, VALUE * naive(terms));
        }
    }

    #[test]
    fn what_is_not_finite_passes_the_fused_relu_as_it_passes_the_composition(
        problem in problems(),
        seed: u32,
        operand in 0usize..5,
        place: prop::sample::Index,
        value in prop::sample::select(&NOT_FINITE[..]),
    ) {
        let mut operands = Operands::draw(&problem, seed.into(), reals);
        let mut norm = Norm::draw(u64::from(seed) + 9, problem.out_channels);
        let spoiled = match operand {
            0 => &mut operands.x,
            1 => &mut operands.g,
            2 => &mut norm.gamma,
            3 => &mut norm.beta,
            _ => &mut norm.mean,
        };
        if !spoiled.is_empty() {
            *place.get_mut(spoiled) = value;
        }
        let layer = Layer {
            gamma: &norm.gamma,
            beta: &norm.beta,
            epsilon: EPSILON,
            residual: Some(&operands.g),
            relu: true,
        };
        let convolved = reference::forward(&problem, &operands.x, &operands.w);
        let wanted = layer.apply(&convolved, &norm.mean, &norm.variance);
        for dtype in dtypes() {
            let residual = upload(&operands.g, &problem.output_shape(), dtype);
            let got = run(&problem, &operands, &norm.upload(dtype), Some(&residual), true);
            assert_alike("conv_affine", &got, &wanted);
        }
    }
}

#[test]
fn operands_that_do_not_fit_the_output_are_refused() {
    let problem = problem([1, 5, 5], [3, 3], [3, 8], [1, 1], [1, 1]);
    let (x, w) = (
        Tensor::zeros(&client(), &problem.input_shape(), DType::F32),
        Tensor::zeros(&client(), &problem.weight_shape(), DType::F32),
    );
    let vector = |len: usize, dtype| Tensor::zeros(&client(), &[len], dtype);
    let (eight, nine, wide) = (
        vector(8, DType::F32),
        vector(9, DType::F32),
        vector(8, DType::F64),
    );
    let apply = |centre: &Tensor, scale: &Tensor, shift: &Tensor, residual: Option<&Tensor>| {
        let affine = Affine {
            centre,
            scale,
            shift,
            residual,
            relu: true,
        };
        dense::conv_affine(&x, &w, problem.options, &affine)
    };
    assert_refuses_shape(apply(&nine, &eight, &eight, None), "centre", &[9]);
    assert_refuses_shape(apply(&eight, &nine, &eight, None), "scale", &[9]);
    assert_refuses_dtype(apply(&eight, &eight, &wide, None), "shift", DType::F64);
    assert_refuses_shape(apply(&eight, &eight, &eight, Some(&nine)), "residual", &[9]);
}
