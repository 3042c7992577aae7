//! Activations: one element in, one element out.
//!
//! **Computes** `y = a(x)`, and the gradient `grad a'(x)`, for the [`Activation`]s that light networks use: each is a [`Unary`], whose
//! launches these are. As `#[cube]` functions of a vector they also stand in the epilogues of other kernels.
//!
//! **Saved for the backward pass**: `x`; the slope is computed again, which is cheaper than reading it. For ReLU and ReLU6 the output
//! serves as well as the input.
//!
//! **Digits.** The exponential is taken of `-|x|`, which cannot overflow and keeps the digits of both tails of the sigmoid and of its
//! slope.
//!
//! **Not finite**: a NaN stays one. Where a slope is 0 the gradient is 0, even for an infinite gradient that arrives; SiLU and
//! hard-swish of minus infinity are 0, their limit.

pub mod cost;
mod function;
pub mod reference;

pub use function::Activation;
pub(crate) use function::{activate, pull_back};

use super::unary::{Unary, map, map_backward, map_into};
use crate::{KernelError, Tensor};
use cubecl::prelude::*;

const OP: &str = "activation";

#[cube]
impl Unary for Activation {
    fn value<F: Float, N: Size>(x: Vector<F, N>, #[comptime] function: Self) -> Vector<F, N> {
        activate::<F, N>(x, function)
    }

    fn pull_back<F: Float, N: Size>(
        x: Vector<F, N>,
        grad: Vector<F, N>,
        #[comptime] function: Self,
    ) -> Vector<F, N> {
        pull_back::<F, N>(x, grad, function)
    }
}

/// `a(x)` of any shape; `x` may be a window. One launch; none for an empty tensor, nor for one past [`Tensor::MOST_ELEMENTS`], whose
/// result nobody takes either.
pub fn activation(x: &Tensor, activation: Activation) -> Tensor {
    map(x, activation)
}

/// [`activation()`] into `y`, of the shape of `x`, which may be `x` itself; both may be windows. One launch; none for an empty tensor.
///
/// In place no element may be computed twice: of a length (in a window, a number of channels) that no vector divides, each is then
/// computed by itself.
///
/// # Errors
/// In this order: an `x` past [`Tensor::MOST_ELEMENTS`]; shape and element type of `y`; a `y` that lies over a part of `x`.
pub fn activation_into(x: &Tensor, activation: Activation, y: &Tensor) -> Result<(), KernelError> {
    map_into(OP, x, activation, y)
}

/// The gradient with respect to `x`, from `grad` of its shape; both may be windows. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: an `x` past [`Tensor::MOST_ELEMENTS`]; shape, then element type of `grad`.
pub fn backward(x: &Tensor, grad: &Tensor, activation: Activation) -> Result<Tensor, KernelError> {
    map_backward(OP, x, grad, activation)
}
