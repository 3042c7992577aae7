//! Bilinear resizing, without antialiasing.
//!
//! **Computes** each output as the mixture of the four input pixels around its position in the input. Along an axis of `h` inputs and
//! `oh` outputs, output `o` lies at `max((o + 1/2) h / oh - 1/2, 0)` (half-pixel centres) or at `o (h - 1) / (oh - 1)` (aligned
//! corners); at position `i + t` with `0 <= t < 1` it is `(1 - t) x[i] + t x[min(i + 1, h - 1)]`, as in PyTorch.
//!
//! **Layout** NHWC, in vectors of channels. Input and gradient may be channel windows.
//!
//! **One unit owns** a share of the output pixels forward, of the input pixels backward (`share.rs`), walked in memory order; on a CPU up to four vectors of
//! channels are held in registers together.
//!
//! **Saved for the backward pass**: the problem.
//!
//! **Why this shape.** A position is a fraction of two integers, so `i` is exact and `t` is rounded once, at any size. Backward, the
//! same inequalities solved for `o` give exactly the outputs that read an input, whose weights come from the same fractions:
//! gather form, adjoint to the forward pass term by term.
//!
//! **Tried and lost.** Weights behind a branch and divided one by one, four vectors of channels at a time: the gradient of doubling 16
//! images of 14 x 14 x 256 took 0.91 ms, and takes 0.41 ms with eight vectors, no branch and multiplications.

mod axis;
mod backward;
pub mod cost;
mod forward;
mod problem;
pub mod reference;

pub use problem::{Alignment, BilinearProblem};

use crate::{KernelError, Tensor};

const OP: &str = "bilinear";

/// `x` `[n, h, w, c]`, which may be a channel window, resized to `output` `[oh, ow]`, as `[n, oh, ow, c]`. One launch.
///
/// # Errors
/// In this order: the rank of `x`, then those of [`BilinearProblem::new`], then a result past [`Tensor::MOST_ELEMENTS`].
pub fn bilinear(
    x: &Tensor,
    output: [usize; 2],
    alignment: Alignment,
) -> Result<Tensor, KernelError> {
    let input = x.dims_view(OP, "x", "[n, h, w, c]")?;
    let problem = BilinearProblem::new(input, x.dtype(), output, alignment)?;
    let y = Tensor::room(OP, "y", x.client(), &problem.output_shape(), x.dtype())?;
    if !y.is_empty() {
        forward::launch_mix(&problem, x, &y);
    }
    Ok(y)
}

/// The gradient with respect to the input, `[n, h, w, c]`, from `grad` `[n, oh, ow, c]`, which may be a channel window. One
/// launch.
///
/// # Errors
/// In this order: shape, then element type of `grad`; a gradient past [`Tensor::MOST_ELEMENTS`].
pub fn backward(problem: &BilinearProblem, grad: &Tensor) -> Result<Tensor, KernelError> {
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype())?;
    let out = Tensor::room(
        OP,
        "gradient",
        grad.client(),
        &problem.input_shape(),
        grad.dtype(),
    )?;
    if !out.is_empty() {
        backward::launch_unmix(problem, grad, &out);
    }
    Ok(out)
}
