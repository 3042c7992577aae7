//! Activations: one element in, one element out.
//!
//! **Computes** `y = a(x)`, and the gradient `grad a'(x)`, for the [`Activation`]s that light networks use.
//!
//! **Layout** any shape; `x`, `y` and the gradient that arrives may be channel windows.
//!
//! **One unit owns** a run of rows: the pixels of a window, or pieces of 32 vectors of a tensor without gaps.
//!
//! **Saved for the backward pass**: `x`; the slope is computed again, which is cheaper than reading it. For ReLU and ReLU6 the output
//! serves as well as the input.
//!
//! **Why this shape.** Memory-bound: one read and one write of everything, whatever the function, as long as it stays below the
//! time of a cache line. The exponential is taken of `-|x|`, which cannot overflow and keeps the digits of both tails of the
//! sigmoid and of its slope. The functions themselves are `#[cube]` functions of a vector, for the epilogues of other kernels.
//!
//! **Not finite**: a NaN stays one. Where a slope is 0 the gradient is 0, even for an infinite gradient that arrives; SiLU and
//! hard-swish of minus infinity are 0, their limit.

mod backward;
pub mod cost;
mod forward;
mod function;
pub mod reference;

pub use function::Activation;
pub(crate) use function::{activate, pull_back};

use crate::{KernelError, Tensor};

const OP: &str = "activation";

/// `a(x)` of any shape; `x` may be a window. One launch; none for an empty tensor, nor for one past [`Tensor::MOST_ELEMENTS`], whose
/// result nobody takes either.
pub fn activation(x: &Tensor, activation: Activation) -> Tensor {
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !y.is_empty() && x.check_addressable(OP, "x").is_ok() {
        forward::launch_activation(x, &y, activation);
    }
    y
}

/// [`activation()`] into `y`, of the shape of `x`, which may be `x` itself; both may be windows. One launch; none for an empty tensor.
///
/// In place no element may be computed twice: of a length (in a window, a number of channels) that no vector divides, each is then
/// computed by itself.
///
/// # Errors
/// In this order: an `x` past [`Tensor::MOST_ELEMENTS`]; shape and element type of `y`; a `y` that lies over a part of `x`.
pub fn activation_into(x: &Tensor, activation: Activation, y: &Tensor) -> Result<(), KernelError> {
    x.check_addressable(OP, "x")?;
    y.check_view(OP, "y", x.shape(), x.dtype())?;
    y.check_in_place(OP, "y", ("x", x))?;
    if !y.is_empty() {
        forward::launch_activation(x, y, activation);
    }
    Ok(())
}

/// The gradient with respect to `x`, from `grad` of its shape; both may be windows. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: an `x` past [`Tensor::MOST_ELEMENTS`]; shape, then element type of `grad`.
pub fn backward(x: &Tensor, grad: &Tensor, activation: Activation) -> Result<Tensor, KernelError> {
    x.check_addressable(OP, "x")?;
    grad.check_view(OP, "grad", x.shape(), x.dtype())?;
    let out = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !out.is_empty() {
        backward::launch_backward(x, grad, &out, activation);
    }
    Ok(out)
}
