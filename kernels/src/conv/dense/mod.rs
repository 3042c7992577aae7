//! Dense convolution, any kernel, stride and padding, with both gradients.
//!
//! **Computes** `y[n, oy, ox, o] = sum over ky, kx, i of x[n, oy s + ky - p, ox s + kx - p, i] w[ky, kx, i, o]`; no bias, as every
//! convolution here is followed by a batch norm; in inference [`conv_affine`] applies that norm, a residual and a ReLU as well.
//!
//! **Layout** `x [n, h, w, ci]`, `w [kh, kw, ci, co]`, `y [n, oh, ow, co]`: one weight vector serves `N` output channels.
//!
//! **Map.** `problem.rs` validates, and tells which convolutions are matrix products. `stage.rs` fills a patch, zero padding included.
//! `forward.rs` chooses the tile, walks, multiplies, stores and launches the forward pass and, transposed, the gradient with respect to
//! the input, for which `grad_input.rs` flips the weight. `grad_weight.rs` is the gradient with respect to the weight. Where there are
//! more output channels than a tile holds, `wide.rs` and `wide_grad_weight.rs` do the same from packed panels. Where `strategy.rs` finds
//! fewer products in it, `winograd/` computes it instead. The indices of
//! taps and phases are those of `taps.rs`, what follows a convolution is `affine.rs`. All that for a CPU; a GPU goes to
//! `matmul::implicit`, a matrix product to [`crate::matmul::gemm`]. What comes before one, the norm of the layer before, is `prologue.rs`, and
//! applied where a patch, a tile or a block of rows is staged.
//!
//! **One unit owns** a run of blocks of output rows (forward, gradient with respect to the input) or a run of partial sums
//! (gradient with respect to the weight). It stages the input rows of a block, zero padding included, into a scratch of its own;
//! the inner loops then read a contiguous line of `kw ci` inputs per kernel row and know no borders: a register-tiled GEMM. On a GPU a
//! cube owns a tile of the result, see `matmul/implicit`.
//!
//! **Saved for the backward pass**: input and weight. Nothing is recomputed.
//!
//! **Why this shape.** The gradient with respect to the input is the same kernel: its weights are flipped once into the order in
//! which it reads them, and a stride splits it into one convolution per residue, each a convolution of stride 1 with a part of the
//! taps, so that no product with an inserted zero is computed. The gradient with respect to the weight is a sum over pixels; its
//! partial sums are as many as the problem says, never the machine, and are added in a fixed order: no atomics, same bits.
//! A 1x1 convolution of stride 1 without padding goes to [`crate::matmul::gemm`].
//!
//! A gradient that reached the input from elsewhere is added in registers ([`grad_input_plus`]): 128 x 64 x 64 x 16 with memory not in
//! the caches took 19.5 and 19.2 ms, in turns with 21.4 and 20.7 ms of the gradient and then a sum in place.
//!
//! **Not numbers.** Padding is written out as zeros and multiplied: a NaN or an infinity in a gradient at the border also reaches
//! the weight's taps that lie in the padding there, and one in a weight reaches border outputs. Neither crosses images. Winograd's
//! filtering has them where the direct sum has them, see [`winograd`].
//!
//! **Tried and lost** (2 cores, AVX-512, f32, batch 128, with other work on the machine: believe the ratios): tiles of 8 x 1 for 16 output channels, 74-122 GFLOP/s against 272-300 of
//! 16 x 1 (one multiply-add per load leaves the load ports as the limit, and eight chains do not cover the latency); 12 x 2 for
//! 32 and 64 channels, 238-329 against 373-389 of 8 x 2 (64, 32 and 16 pixels are no multiples of 12); 6 x 4 for 64 channels, 311-351
//! against 373 of 8 x 2.

pub mod cost;
mod forward;
pub(in crate::conv) mod grad_input;
mod grad_weight;
mod problem;
pub mod reference;
mod stage;
mod strategy;
mod wide;
mod wide_grad_weight;
pub mod winograd;

pub use problem::{ConvOptions, ConvProblem};
pub use strategy::Strategy;

pub use crate::Affine;
use crate::affine::EpilogueArgs;
use crate::matmul::gemm::{launch_gemm, launch_grad_a, launch_grad_b};
use crate::{KernelError, Source, Tensor};

/// Convolves `input` `[n, h, w, ci]`, or what it comes to behind a prologue, with `weight` `[kh, kw, ci, co]` to `[n, oh, ow, co]`. One
/// launch; on a GPU another one for a prologue.
///
/// # Errors
/// Those of [`ConvProblem::new`], then those of the prologue's maps, then an output or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn conv<'a>(
    input: impl Into<Source<'a>>,
    weight: &Tensor,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    conv_by(Strategy::Auto, input, weight, options, None)
}

/// [`conv`] with what follows it, which then costs no pass over memory of its own (but for reading the residual). One launch.
///
/// # Errors
/// Those of [`ConvProblem::new`], then those of [`Affine::check`], then an output or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn conv_affine(
    input: &Tensor,
    weight: &Tensor,
    options: ConvOptions,
    affine: &Affine,
) -> Result<Tensor, KernelError> {
    conv_by(Strategy::Auto, input, weight, options, Some(affine))
}

/// [`conv`], or [`conv_affine`], by the caller's strategy. One launch.
///
/// # Errors
/// Those of [`ConvProblem::new`], then those of the prologue's maps, then those of [`Affine::check`], then a strategy that does not compute
/// the problem on this device, then an output or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn conv_by<'a>(
    strategy: Strategy,
    input: impl Into<Source<'a>>,
    weight: &Tensor,
    options: ConvOptions,
    affine: Option<&Affine>,
) -> Result<Tensor, KernelError> {
    let source = input.into();
    let problem = ConvProblem::new(source.map(), weight, options)?;
    source.check("conv")?;
    let shape = problem.output_shape();
    if let Some(affine) = affine {
        affine.check("conv_affine", &shape, problem.dtype)?;
    }
    let client = source.map().client();
    strategy.check("conv", &problem, client)?;
    let output = Tensor::room("conv", "output", client, &shape, problem.dtype)?;
    launch_forward(&problem, source, weight, affine, strategy, &output)?;
    Ok(output)
}

/// [`conv_affine`] into `out` `[n, oh, ow, co]`, which may be a window. One launch.
///
/// # Errors
/// Those of [`conv_affine`], then shape and element type of `out`, and one that shares memory with anything that is read.
pub fn conv_affine_into(
    input: &Tensor,
    weight: &Tensor,
    options: ConvOptions,
    affine: &Affine,
    out: &Tensor,
) -> Result<(), KernelError> {
    let problem = ConvProblem::new(input, weight, options)?;
    affine.check("conv_affine", &problem.output_shape(), problem.dtype)?;
    out.check_view("conv_affine", "out", &problem.output_shape(), problem.dtype)?;
    out.check_apart(
        "conv_affine",
        "out",
        &[("input", input), ("weight", weight)],
    )?;
    affine.check_apart("conv_affine", out)?;
    launch_forward(
        &problem,
        input.into(),
        weight,
        Some(affine),
        Strategy::Auto,
        out,
    )
}

fn launch_forward(
    problem: &ConvProblem,
    source: Source,
    weight: &Tensor,
    affine: Option<&Affine>,
    strategy: Strategy,
    out: &Tensor,
) -> Result<(), KernelError> {
    if out.is_empty() {
        return Ok(());
    }
    let source = source.ready();
    if let Some(product) = problem.as_product() {
        let weight = weight.reshape(&[product.k, product.n])?;
        launch_gemm(
            &product,
            &source.rows(),
            &weight,
            EpilogueArgs::affine(affine),
            out,
        );
    } else {
        let epilogue_args = EpilogueArgs::affine(affine);
        forward::launch_tiled(
            problem,
            &source,
            weight,
            out,
            false,
            strategy,
            epilogue_args,
        )?;
    }
    Ok(())
}

/// The gradient `[n, h, w, ci]` of [`conv`] with respect to its input, from `grad` `[n, oh, ow, co]`. Two launches, the first over
/// the weight alone.
///
/// # Errors
/// Those of [`ConvProblem::new`], then shape and element type of `grad`, then a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn grad_input(
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    grad_input_by(Strategy::Auto, input, weight, grad, options, None)
}

/// [`grad_input`] plus another gradient of the input's shape, added in registers, and in its place where no other tensor shares
/// its memory: where a network branches, each branch adds to what came from the others. Two launches, the first over the weight
/// alone.
///
/// # Errors
/// Those of [`grad_input`], then shape and element type of `plus`, or it is a window.
pub fn grad_input_plus(
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    options: ConvOptions,
    plus: Tensor,
) -> Result<Tensor, KernelError> {
    grad_input_by(Strategy::Auto, input, weight, grad, options, Some(plus))
}

/// [`grad_input`], or [`grad_input_plus`], by the caller's strategy. Two launches, the first over the weight alone.
///
/// # Errors
/// Those of [`grad_input_plus`], before a scratch too large a strategy that does not compute the problem on this device.
pub fn grad_input_by(
    strategy: Strategy,
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    options: ConvOptions,
    plus: Option<Tensor>,
) -> Result<Tensor, KernelError> {
    const OP: &str = "conv grad_input";
    let problem = ConvProblem::new(input, weight, options)?;
    problem.check_grad(OP, grad)?;
    let shape = problem.input_shape();
    if let Some(plus) = &plus {
        plus.check(OP, "plus", &shape, problem.dtype)?;
    }
    strategy.check(OP, &problem, input.client())?;
    let room = || Tensor::empty(input.client(), &shape, problem.dtype);
    if input.is_empty() {
        return Ok(room());
    }
    if let Some(product) = problem.as_product() {
        let (out, weight) = (room(), weight.reshape(&[product.k, product.n])?);
        let plus = plus.map(|plus| plus.rows());
        launch_grad_a(&product, &weight, &grad.rows(), plus.as_ref(), &out);
        return Ok(out);
    }
    let in_place = plus
        .as_ref()
        .is_some_and(|plus| plus.is_alone() && forward::writes_once(&problem, strategy, plus));
    let (out, plus) = match plus {
        Some(plus) if in_place => (plus.clone(), Some(plus)),
        plus => (room(), plus),
    };
    grad_input::launch_grad_input(&problem, weight, grad, plus.as_ref(), strategy, &out)?;
    Ok(out)
}

/// The gradient `[kh, kw, ci, co]` of [`conv`] with respect to its weight, from `grad` `[n, oh, ow, co]`. Two launches; on a GPU
/// another one for a prologue.
///
/// # Errors
/// Those of [`ConvProblem::new`], then those of the prologue's maps, then shape and element type of `grad`, then a scratch past
/// [`Tensor::MOST_ELEMENTS`].
pub fn grad_weight<'a>(
    input: impl Into<Source<'a>>,
    weight: &Tensor,
    grad: &Tensor,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    grad_weight_by(Strategy::Auto, input, weight, grad, options)
}

/// [`grad_weight`] by the caller's strategy. Two launches.
///
/// # Errors
/// Those of [`grad_weight`], before a scratch too large a strategy that does not compute the problem on this device.
pub fn grad_weight_by<'a>(
    strategy: Strategy,
    input: impl Into<Source<'a>>,
    weight: &Tensor,
    grad: &Tensor,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    const OP: &str = "conv grad_weight";
    let source = input.into();
    let problem = ConvProblem::new(source.map(), weight, options)?;
    source.check(OP)?;
    problem.check_grad(OP, grad)?;
    let client = grad.client();
    strategy.check(OP, &problem, client)?;
    let shape = problem.weight_shape();
    if grad.is_empty() {
        return Ok(Tensor::zeros(client, &shape, problem.dtype));
    }
    let source = source.ready();
    let out = Tensor::empty(client, &shape, problem.dtype);
    if let Some(product) = problem.as_product() {
        launch_grad_b(&product, &source.rows(), &grad.rows(), &out)?;
    } else if let Some(outputs) = strategy.weight_outputs(&problem, client) {
        winograd::launch_winograd_weight(&problem, &source, grad, &out, outputs)?;
    } else {
        grad_weight::launch_grad_weight(&problem, &source, grad, &out)?;
    }
    Ok(out)
}
