//! Grouped convolution, any number of groups, kernel, stride and padding, with both gradients.
//!
//! **Computes** `y[n, oy, ox, o] = sum over ky, kx, i of x[n, oy s + ky - p, ox s + kx - p, g gi + i] w[ky, kx, i, o]`, where `g` is
//! the group of output channel `o` and `gi` the input channels of a group; no bias, as every convolution here is followed by a
//! batch norm. In inference [`conv_affine`] applies that norm, a residual and a ReLU as well.
//!
//! **Layout** `x [n, h, w, ci]`, `w [kh, kw, ci / groups, co]`, `y [n, oh, ow, co]`, the channels of a group side by side.
//!
//! All groups go in one launch.

mod blueprint;
pub mod cost;
mod forward;
mod grad_input;
mod grad_weight;
mod patch;
mod problem;
pub mod reference;

pub use crate::conv::dense::{Affine, ConvOptions};
pub use problem::GroupedProblem;

use crate::{KernelError, Tensor};
use blueprint::Blueprint;

/// Convolves `input` `[n, h, w, ci]`, which may be a window, with `weight` `[kh, kw, ci / groups, co]` to `[n, oh, ow, co]`. One
/// launch.
///
/// # Errors
/// Those of [`GroupedProblem::new`].
pub fn conv(
    input: &Tensor,
    weight: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    Ok(apply(&problem, input, weight, None))
}

/// [`conv`] with what follows it, which then costs no pass over memory of its own (but for reading the residual, which may be a
/// window). One launch.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shapes and element types of `centre`, `scale`, `shift` (no windows) and the residual.
pub fn conv_affine(
    input: &Tensor,
    weight: &Tensor,
    groups: usize,
    options: ConvOptions,
    affine: &Affine,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv_affine";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    for (name, tensor) in [
        ("centre", affine.centre),
        ("scale", affine.scale),
        ("shift", affine.shift),
    ] {
        tensor.check(OP, name, &[problem.out_channels], problem.dtype)?;
    }
    if let Some(residual) = affine.residual {
        residual.check_view(OP, "residual", &problem.output_shape(), problem.dtype)?;
    }
    Ok(apply(&problem, input, weight, Some(affine)))
}

fn apply(
    problem: &GroupedProblem,
    input: &Tensor,
    weight: &Tensor,
    affine: Option<&Affine>,
) -> Tensor {
    let output = Tensor::empty(input.client(), &problem.output_shape(), problem.dtype);
    if !output.is_empty() {
        let residual = affine.and_then(|affine| affine.residual);
        let beside = residual.unwrap_or(weight);
        let blueprint = Blueprint::new(problem, problem.group(), &[weight, &output, beside]);
        forward::launch_tiled(problem, &blueprint, input, weight, &output, false, affine);
    }
    output
}

/// The gradient `[n, h, w, ci]` of [`conv`] with respect to its input, from `grad` `[n, oh, ow, co]`, which may be a window. Two
/// launches, the first over the weight alone.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shape and element type of `grad`.
pub fn grad_input(
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv grad_input";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    let out = Tensor::empty(input.client(), &problem.input_shape(), problem.dtype);
    if !out.is_empty() {
        grad_input::launch_grad_input(&problem, weight, grad, &out);
    }
    Ok(out)
}

/// The gradient `[kh, kw, ci / groups, co]` of [`conv`] with respect to its weight, from `grad` `[n, oh, ow, co]`, which may be a
/// window. One launch, or two where the weight is light enough for several partial sums.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shape and element type of `grad`.
pub fn grad_weight(
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv grad_weight";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    let (client, shape) = (input.client(), problem.weight_shape());
    if grad.is_empty() {
        return Ok(Tensor::zeros(client, &shape, problem.dtype));
    }
    let out = Tensor::empty(client, &shape, problem.dtype);
    grad_weight::launch_grad_weight(&problem, input, grad, &out);
    Ok(out)
}
