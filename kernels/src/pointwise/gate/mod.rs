//! The gate of squeeze-and-excitation: every channel of an image times a number between 0 and 1.
//!
//! **Computes** `y[n, h, w, c] = x[n, h, w, c] a(s[n, c])`, `a` being the hard-sigmoid of GhostNet's SE (`docs/methods.md` section 1.2), a sigmoid, or
//! any other [`Activation`]. Backward, `grad_x = grad a(s)` and `grad_s = a'(s) sum over pixels of grad x`.
//!
//! **Layout** `x`, `y` and the gradient of `y` `[n, h, w, c]`, which may be channel windows; `s` and its gradient `[n, c]`.
//!
//! **One unit owns** a share of the blocks of 32 pixels of one image (`share.rs`). A vector of channels walks over its block before the next one does.
//!
//! **Saved for the backward pass**: `x` and `s`; `a(s)` is computed again, once a block.
//!
//! **Why this shape.** Memory-bound. The function of `s` is computed once for 32 pixels and no launch is spent on it. The backward
//! launch that writes `grad_x` also leaves each block's sum of `grad x`, 1/32 of the traffic; a second one adds them in order.

mod backward;
pub mod cost;
mod forward;
pub mod reference;

use super::activation::Activation;
use super::per_image::checked;
use crate::{KernelError, Tensor};

const OP: &str = "gate";

/// What [`backward()`] returns.
#[derive(Debug, Clone)]
pub struct GateGrads {
    /// With respect to `x`, `[n, h, w, c]`.
    pub x: Tensor,
    /// With respect to `s`, `[n, c]`.
    pub s: Tensor,
}

/// `x` `[n, h, w, c]`, which may be a window, times `a(s)`, `s` `[n, c]`. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: the rank of `x`; shape and element type of `s`; an `s` that is a window.
pub fn gate(x: &Tensor, s: &Tensor, activation: Activation) -> Result<Tensor, KernelError> {
    checked(OP, x, "s", s)?;
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    gate_into(x, s, activation, &y)?;
    Ok(y)
}

/// [`gate()`] into `y`, of the shape of `x`, which may be `x` itself; both may be windows. One launch; none for an empty tensor.
///
/// # Errors
/// Those of [`gate()`], then shape and element type of `y`, a `y` that lies over a part of `x`, and one that lies over `s`.
pub fn gate_into(
    x: &Tensor,
    s: &Tensor,
    activation: Activation,
    y: &Tensor,
) -> Result<(), KernelError> {
    let shape = checked(OP, x, "s", s)?;
    y.check_view(OP, "y", &shape, x.dtype())?;
    y.check_in_place(OP, "y", ("x", x))?;
    y.check_apart(OP, "y", &[("s", s)])?;
    if !y.is_empty() {
        forward::launch_gate(shape, x, s, y, activation);
    }
    Ok(())
}

/// The gradients of [`gate()`] from `grad` `[n, h, w, c]`, which may be a window as `x` may. Two launches; for images without a
/// pixel the gradient of `s` is 0.
///
/// # Errors
/// Those of [`gate()`], then shape and element type of `grad`.
pub fn backward(
    x: &Tensor,
    s: &Tensor,
    activation: Activation,
    grad: &Tensor,
) -> Result<GateGrads, KernelError> {
    let shape = checked(OP, x, "s", s)?;
    grad.check_view(OP, "grad", &shape, x.dtype())?;
    let input = Tensor::empty(x.client(), &shape, x.dtype());
    if input.is_empty() {
        let s = Tensor::zeros(s.client(), s.shape(), s.dtype());
        return Ok(GateGrads { x: input, s });
    }
    let s = backward::launch_backward(shape, x, s, activation, grad, &input);
    Ok(GateGrads { x: input, s })
}
