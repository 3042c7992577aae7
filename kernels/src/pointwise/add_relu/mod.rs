//! A vector of channels added to every pixel of an image, and a ReLU: the ghost half of a G-Ghost stage.
//!
//! **Computes** `y[n, h, w, c] = max(x[n, h, w, c] + m[n, c], 0)`, where `x` is the cheap branch and `m` the mix of the stage's features
//! (`docs/methods.md` section 1.4). Backward, `grad_x = grad` where `y` is positive, else 0, and `grad_m = sum over pixels of grad_x`.
//!
//! **Layout** `x`, `y` and the gradient of `y` `[n, h, w, c]`, which may be channel windows: the ghost half is written into, and its
//! gradient read from, the stage's concatenated channels. `m` and its gradient `[n, c]`.
//!
//! **One unit owns** a share of the blocks of 32 pixels of one image, as in [`super::gate`].
//!
//! **Saved for the backward pass**: `y`, which the next operation reads anyway; neither `x` nor `m`.
//!
//! **Why this shape.** Memory-bound, one read and one write: the cheap branch is not written a second time for the sum, nor a third
//! time for the ReLU, nor a fourth time for the concatenation.
//!
//! **Not finite**: a NaN in `x` or `m` stays one; its gradient passes, as PyTorch's.

mod backward;
pub mod cost;
mod forward;
pub mod reference;

use super::per_image::checked;
use crate::{KernelError, Tensor};

const OP: &str = "add_relu";

/// What [`backward()`] returns.
#[derive(Debug, Clone)]
pub struct AddReluGrads {
    /// With respect to `x`, `[n, h, w, c]`.
    pub x: Tensor,
    /// With respect to `m`, `[n, c]`.
    pub m: Tensor,
}

/// `max(x + m, 0)` of `x` `[n, h, w, c]`, which may be a window, and `m` `[n, c]`. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: the rank of `x`; shape and element type of `m`; an `m` that is a window.
pub fn add_relu(x: &Tensor, m: &Tensor) -> Result<Tensor, KernelError> {
    checked(OP, x, "m", m)?;
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    add_relu_into(x, m, &y)?;
    Ok(y)
}

/// [`add_relu()`] into `y`, of the shape of `x`, which may be `x` itself; both may be windows. One launch; none for an empty tensor.
///
/// # Errors
/// Those of [`add_relu()`], then shape and element type of `y`, a `y` that lies over a part of `x`, and one that lies over `m`.
pub fn add_relu_into(x: &Tensor, m: &Tensor, y: &Tensor) -> Result<(), KernelError> {
    let shape = checked(OP, x, "m", m)?;
    y.check_view(OP, "y", &shape, x.dtype())?;
    y.check_in_place(OP, "y", ("x", x))?;
    y.check_apart(OP, "y", &[("m", m)])?;
    if !y.is_empty() {
        forward::launch_add_relu(shape, x, m, y);
    }
    Ok(())
}

/// The gradients of [`add_relu()`] from its result `y` `[n, h, w, c]` and from `grad` of that shape; both may be windows. Two
/// launches; for images without a pixel the gradient of `m` is 0.
///
/// # Errors
/// In this order: the rank of `y`; shape and element type of `grad`.
pub fn backward(y: &Tensor, grad: &Tensor) -> Result<AddReluGrads, KernelError> {
    let shape = y.dims_view(OP, "y", "[n, h, w, c]")?;
    grad.check_view(OP, "grad", &shape, y.dtype())?;
    let x = Tensor::empty(y.client(), &shape, y.dtype());
    if x.is_empty() {
        let m = Tensor::zeros(y.client(), &[shape[0], shape[3]], y.dtype());
        return Ok(AddReluGrads { x, m });
    }
    let m = backward::launch_backward(shape, y, grad, &x);
    Ok(AddReluGrads { x, m })
}
