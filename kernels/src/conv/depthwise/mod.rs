//! Depthwise convolution: one filter for each output channel.
//!
//! **Computes** `y[n, oy, ox, j] = b[j] + sum over ky, kx of x[n, oy s + ky d - top, ox s + kx d - left, j / m] w[ky, kx, j]` with a
//! stride and a dilation for each axis, zero padding for each side and `m` output channels for each input channel (the cheap
//! operation of a Ghost module of ratio `s` has `m = s - 1`, `docs/methods.md` section 1.1). What follows a convolution in inference is applied to
//! the values in registers, as by [`crate::conv::dense::conv_affine`].
//!
//! **Layout** `x [n, h, w, c]`, `w [kh, kw, c m]`, `y [n, oh, ow, c m]`; images, and the tensors of their shapes, may be windows.
//!
//! **Map.** `problem.rs` validates. `plan.rs` chooses what is unrolled and how long a tile is, `multiplier.rs` how vectors of input channels
//! meet those of the output. `axis.rs` and `lines.rs` index: the taps of a target, the rows that neighbouring targets share.
//! `convolve.rs` walks and launches the forward pass and, transposed, the gradient with respect to the input; `tile.rs` multiplies
//! unrolled taps, `walk.rs` all others, and `epilogue.rs` stores what `affine.rs` makes of the sums. Every device runs these kernels.
//! `grad_weight.rs` launches the gradient with respect to the weight, and walks it on a CPU, by the products of `weight_tile.rs` and
//! `weight_walk.rs`; on a GPU `weight_cube.rs` does, for cubes that `weight_spread.rs` lays out.
//!
//! **One unit owns** a run of target rows (forward, and the gradient with respect to the input, which is the same kernel in gather
//! form) or a run of partial sums (gradient with respect to the weight). It walks pixels outside and channel vectors inside. A tile
//! of neighbouring targets is held in registers: of two rows where vertical stride and dilation are 1, which share the source rows
//! that both read. The rows in the padding are cut off before the loop, and only tiles that reach past a side edge ask which columns
//! exist. The gradient with respect to the weight keeps the sums of all taps in a scratch of the unit's own, and those of kernels up
//! to 3x3 in registers while a tile of two rows of eight outputs passes over them.
//!
//! **A unit of a GPU owns** a tile of one row in one vector of channels (forward, and the gradient with respect to the input), the
//! vectors of a pixel going to neighbours, or, for the gradient with respect to the weight, one vector of one row of the kernel.
//!
//! **Variants.** Kernel rows of up to 7 taps (13 on a GPU) at a stride of 1 or 2 are unrolled, dilation included; the vertical steps are run-time
//! numbers, and so is the kernel's height but for the gradient of a weight up to 3x3. All other problems walk the taps one by one,
//! for seven neighbouring targets at a time unless the gradient with respect to the input has a horizontal stride. A multiplier of
//! up to 8 computes all output channels of a vector of input channels at once, and weaves them together by shuffles; a larger one
//! takes vectors of one channel, about a tenth of the speed.
//!
//! **Saved for the backward pass**: input and weight. Nothing is recomputed.
//!
//! **Why this shape.** Taps in the padding are skipped, not multiplied by zero: a NaN reaches what reads it and nothing else. The
//! partial sums are as many as the problem says, never the machine, and are added in a fixed order. Two rows a tile move a third
//! less from the second-level cache, and 14 sums of a 7x7 cover the latency of a multiply-add, where 8 do not: tiles of 7 took 0.63
//! ms and tiles of 4 0.85 ms (8x28x28x192). Sums of a 3x3 weight in registers: 0.75 ms, in the scratch 0.91 ms (8x56x56x128). Taps
//! walked for seven targets instead of one: 0.33 and 0.92 ms (13x13, 2x28x28x64).
//!
//! **What is lost.** A 3x3 over more than the second-level caches hold is a matter of memory: 26 MB take 0.46 ms to copy with plain
//! vector loads and stores on 2 cores, the forward pass takes 0.6 ms. A small one is a matter of the launch, which takes most of
//! the 0.06 ms of 8x28x28x20. The gradient of a 3x3 weight over 32 and 64 channels has few vectors a tile to spread the tile's
//! set-up over. A multiplier of 2 over 24 channels computes 32 of each share: it lost a fifth in the forward pass to vectors of
//! output channels.
//!
//! **On a GPU**, from figures of an H100 that is not there: a tile of two rows of seven, as a CPU's, took 168 registers of a unit for
//! a 5x5 and left 18 % of a multiprocessor's warps; one row of four takes 80 for a 5x5 and a 7x7, and 37 %. One row of two would fit
//! 64, but a 7x7 then reads 7.5 vectors for each output and kernel row where four targets read 4.3, all through the first-level cache,
//! which would be busy three times as long as memory.
//!
//! **Tried and lost** (outside of CubeCL, the same loops in C): channel vectors outside of a row with the weights in registers, 0.80
//! to 0.88 ms where pixels outside took 0.55; four rows a tile, no gain over two past the second-level cache; software prefetches
//! of sources or targets, 0 to 10 % slower.

mod axis;
mod convolve;
pub mod cost;
mod epilogue;
mod grad_weight;
mod lines;
mod multiplier;
mod plan;
mod problem;
pub mod reference;
mod tile;
mod walk;
mod weight_cube;
mod weight_spread;
mod weight_tile;
mod weight_walk;

pub use problem::{DepthwiseOptions, DepthwiseProblem};

use crate::affine::EpilogueArgs;
use crate::conv::dense::Affine;
use crate::{KernelError, Source, Tensor};
use convolve::launch_convolve;

/// Convolves `x` `[n, h, w, c]`, or what it comes to behind a prologue, with `weight` `[kh, kw, c m]` and adds `bias` `[c m]`, to
/// `[n, oh, ow, c m]`. `x` may be a window. One launch; on a GPU another one for a prologue.
///
/// # Errors
/// Those of [`DepthwiseProblem::new`], then those of the prologue's maps, then shape and element type of `bias`, then a `bias` that is a window, then an output past
/// [`Tensor::MOST_ELEMENTS`].
pub fn depthwise<'a>(
    x: impl Into<Source<'a>>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: DepthwiseOptions,
) -> Result<Tensor, KernelError> {
    let source = x.into();
    let problem = DepthwiseProblem::new(source.map(), weight, options)?;
    let (client, shape) = (weight.client(), problem.output_shape());
    let out = Tensor::room("depthwise", "out", client, &shape, problem.dtype)?;
    depthwise_into(source, weight, bias, options, &out)?;
    Ok(out)
}

/// [`depthwise`] into `out` `[n, oh, ow, c m]`, which may be a window, also one of the tensor that `x` is another window of. One
/// launch.
///
/// # Errors
/// Those of [`depthwise`], then shape and element type of `out`, and one that shares memory with anything that is read.
pub fn depthwise_into<'a>(
    x: impl Into<Source<'a>>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: DepthwiseOptions,
    out: &Tensor,
) -> Result<(), KernelError> {
    const OP: &str = "depthwise";
    let source = x.into();
    let x = source.map();
    let problem = DepthwiseProblem::new(x, weight, options)?;
    source.check(OP)?;
    if let Some(bias) = bias {
        bias.check(OP, "bias", &[problem.out_channels()], problem.dtype)?;
    }
    out.check_view(OP, "out", &problem.output_shape(), problem.dtype)?;
    out.check_apart(OP, "out", &[("x", x), ("weight", weight)])?;
    if let Some(bias) = bias {
        out.check_apart(OP, "out", &[("bias", bias)])?;
    }
    if !out.is_empty() {
        let epilogue_args = EpilogueArgs {
            bias,
            ..EpilogueArgs::default()
        };
        let source = source.ready();
        launch_convolve(&problem, &source, weight, out, epilogue_args, false);
    }
    Ok(())
}

/// [`depthwise_into`] without a bias and with what follows it in inference, `act((y - centre) scale + shift + residual)`, which then
/// costs no pass over memory of its own. `x`, `out` and the residual may be windows. One launch.
///
/// # Errors
/// Those of [`DepthwiseProblem::new`], then shapes and element types of `centre`, `scale` and `shift`, each followed by its being
/// a window, then shapes and element types of the residual and of `out`, and an `out` that shares memory with anything that is read.
pub fn depthwise_affine_into(
    x: &Tensor,
    weight: &Tensor,
    options: DepthwiseOptions,
    affine: &Affine,
    out: &Tensor,
) -> Result<(), KernelError> {
    const OP: &str = "depthwise_affine";
    let problem = DepthwiseProblem::new(x, weight, options)?;
    let shape = problem.output_shape();
    affine.check(OP, &shape, problem.dtype)?;
    out.check_view(OP, "out", &shape, problem.dtype)?;
    out.check_apart(OP, "out", &[("x", x), ("weight", weight)])?;
    affine.check_apart(OP, out)?;
    if !out.is_empty() {
        let epilogue_args = EpilogueArgs::affine(Some(affine));
        launch_convolve(&problem, &x.into(), weight, out, epilogue_args, false);
    }
    Ok(())
}

/// The gradient `[n, h, w, c]` of [`depthwise`] with respect to its input, from `grad` `[n, oh, ow, c m]`. `x`, of which the shape
/// alone counts, and `grad` may be windows. One launch.
///
/// # Errors
/// Those of [`DepthwiseProblem::new`], then shape and element type of `grad`.
pub fn grad_input(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    options: DepthwiseOptions,
) -> Result<Tensor, KernelError> {
    input_gradient(x, weight, grad, options, None)
}

/// [`grad_input`] plus another gradient of the input's shape, added in registers: the primary half of a Ghost module's output
/// receives the gradient of the concatenation as well as that of the cheap half. `x`, `grad` and `plus` may be windows. One launch.
///
/// # Errors
/// Those of [`grad_input`], then shape and element type of `plus`.
pub fn grad_input_plus(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    options: DepthwiseOptions,
    plus: &Tensor,
) -> Result<Tensor, KernelError> {
    input_gradient(x, weight, grad, options, Some(plus))
}

fn input_gradient(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    options: DepthwiseOptions,
    plus: Option<&Tensor>,
) -> Result<Tensor, KernelError> {
    const OP: &str = "depthwise grad_input";
    let problem = DepthwiseProblem::new(x, weight, options)?;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    if let Some(plus) = plus {
        plus.check_view(OP, "plus", &problem.input_shape(), problem.dtype)?;
    }
    let out = Tensor::empty(x.client(), &problem.input_shape(), problem.dtype);
    if !out.is_empty() {
        let epilogue_args = EpilogueArgs {
            residual: plus,
            ..EpilogueArgs::default()
        };
        launch_convolve(&problem, &grad.into(), weight, &out, epilogue_args, true);
    }
    Ok(out)
}

/// The gradient `[kh, kw, c m]` of [`depthwise`] with respect to its weight, from `grad` `[n, oh, ow, c m]`. `x` and `grad` may be
/// windows. Two launches.
///
/// # Errors
/// Those of [`DepthwiseProblem::new`], then those of the prologue's maps, then shape and element type of `grad`, then a scratch past
/// [`Tensor::MOST_ELEMENTS`].
pub fn grad_weight<'a>(
    x: impl Into<Source<'a>>,
    weight: &Tensor,
    grad: &Tensor,
    options: DepthwiseOptions,
) -> Result<Tensor, KernelError> {
    let [out, _] = weight_gradient(x.into(), weight, grad, options, false)?;
    Ok(out)
}

/// [`grad_weight`] and the gradient `[c m]` with respect to the bias, from the same two launches.
///
/// # Errors
/// Those of [`grad_weight`].
pub fn grad_weight_and_bias<'a>(
    x: impl Into<Source<'a>>,
    weight: &Tensor,
    grad: &Tensor,
    options: DepthwiseOptions,
) -> Result<[Tensor; 2], KernelError> {
    weight_gradient(x.into(), weight, grad, options, true)
}

/// The gradient of the weight, and where `with_bias` asks for it that of the bias, which otherwise is empty.
fn weight_gradient(
    source: Source,
    weight: &Tensor,
    grad: &Tensor,
    options: DepthwiseOptions,
    with_bias: bool,
) -> Result<[Tensor; 2], KernelError> {
    const OP: &str = "depthwise grad_weight";
    let problem = DepthwiseProblem::new(source.map(), weight, options)?;
    source.check(OP)?;
    let client = grad.client();
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    let shapes = [
        problem.weight_shape().to_vec(),
        vec![problem.out_channels() * usize::from(with_bias)],
    ];
    if grad.is_empty() {
        return Ok(shapes.map(|shape| Tensor::zeros(client, &shape, problem.dtype)));
    }
    let [out, bias] = shapes.map(|shape| Tensor::empty(client, &shape, problem.dtype));
    let source = source.ready();
    grad_weight::launch_grad_weight(&problem, &source, grad, &out, with_bias.then_some(&bias))?;
    Ok([out, bias])
}
