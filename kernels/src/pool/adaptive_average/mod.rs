//! Adaptive average pooling: to any size, from any size.
//!
//! **Computes** `y[n, oy, ox, c] = mean of x[n, iy, ix, c]` over the bin `floor(oy h / oh) <= iy < ceil((oy + 1) h / oh)`, and so along
//! the other axis, as PyTorch does: bins overlap where the sizes do not divide, and repeat pixels where the output is larger.
//! The gradient of an output is spread evenly over its bin.
//!
//! **Layout** NHWC, in vectors of channels. Input and gradient may be channel windows.
//!
//! **One unit owns** a share of the output pixels forward, of the input pixels backward (`share.rs`), walked in memory order.
//!
//! **Saved for the backward pass**: the problem.
//!
//! **Why this shape.** Adaptive bins and sliding windows follow one rule with different numbers, so they share their kernels.
//! Backward, neighbours under the same bins get one sum, which is what the divisions of the rule are paid by.

pub mod cost;
mod problem;
pub mod reference;

pub use problem::AdaptiveAverageProblem;

use super::bins;
use crate::{KernelError, Tensor};

const OP: &str = "adaptive_average";

/// The means of `x` `[n, h, w, c]`, which may be a channel window, over `output` `[oh, ow]` bins, as `[n, oh, ow, c]`. One launch.
///
/// # Errors
/// In this order: the rank of `x`, then those of [`AdaptiveAverageProblem::new`], then a result past [`Tensor::MOST_ELEMENTS`].
pub fn adaptive_average(x: &Tensor, output: [usize; 2]) -> Result<Tensor, KernelError> {
    let input = x.dims_view(OP, "x", "[n, h, w, c]")?;
    let problem = AdaptiveAverageProblem::new(input, x.dtype(), output)?;
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
pub fn backward(problem: &AdaptiveAverageProblem, grad: &Tensor) -> Result<Tensor, KernelError> {
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
