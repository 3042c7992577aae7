//! Average pooling.
//!
//! **Computes** `y[n, oy, ox, c] = sum over the window of x / count`, for a window of `ky x kx` pixels every `sy, sx` pixels of the
//! padded image, as PyTorch does: the count holds the padding's pixels unless it is told not to, but never what lies behind the
//! padding. The gradient of an output is spread evenly over its window.
//!
//! **Layout** NHWC, in vectors of channels. Input and gradient may be channel windows.
//!
//! **One unit owns** a share of the output pixels forward, of the input pixels backward (`share.rs`), walked in memory order; on a CPU up to four vectors of
//! channels are held in registers together.
//!
//! **Saved for the backward pass**: the problem.
//!
//! **Why this shape.** Sliding windows are one case of the bins that adaptive pooling has too, so both share their
//! kernels; sums go row by row, so that a window of a million pixels keeps its digits. Sums are multiplied by one over the count.
//!
//! **Tried and lost.** The processor's own division in the rule of the bins: the gradient of 3x3 means every second pixel of 16 images
//! of 56 x 56 x 36 took 1.13 ms, and takes 0.68 ms since divisions are multiplications.

pub mod cost;
mod problem;
pub mod reference;

pub use problem::{AveragePoolOptions, AveragePoolProblem};

use super::bins;
use crate::{KernelError, Tensor};

const OP: &str = "average_pool";

/// The mean of every window of `x` `[n, h, w, c]`, which may be a channel window, as `[n, oh, ow, c]`. One launch.
///
/// # Errors
/// In this order: the rank of `x`, then those of [`AveragePoolProblem::new`], then a result past [`Tensor::MOST_ELEMENTS`].
pub fn average_pool(x: &Tensor, options: AveragePoolOptions) -> Result<Tensor, KernelError> {
    let input = x.dims_view(OP, "x", "[n, h, w, c]")?;
    let problem = AveragePoolProblem::new(input, x.dtype(), options)?;
    let y = Tensor::room(OP, "y", x.client(), &problem.output_shape(), x.dtype())?;
    if !y.is_empty() {
        bins::launch_mean(problem.bins(), x, &y);
    }
    Ok(y)
}

/// The gradient with respect to the input, `[n, h, w, c]`, from `grad` `[n, oh, ow, c]`, which may be a channel window. One
/// launch.
///
/// # Errors
/// In this order: shape, then element type of `grad`; a gradient past [`Tensor::MOST_ELEMENTS`].
pub fn backward(problem: &AveragePoolProblem, grad: &Tensor) -> Result<Tensor, KernelError> {
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype())?;
    let out = Tensor::room(
        OP,
        "gradient",
        grad.client(),
        &problem.input_shape(),
        grad.dtype(),
    )?;
    if !out.is_empty() {
        bins::launch_spread(problem.bins(), grad, &out);
    }
    Ok(out)
}
