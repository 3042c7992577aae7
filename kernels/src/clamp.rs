//! Clamps that let a NaN through: what every kernel that bounds a value shares.
//!
//! **The rule** for all kernels and references, PyTorch's: a NaN that goes in comes out. It passes every maximum, minimum, clamp and
//! pooling; a row of logits with a NaN has a NaN loss. A network with a NaN in its weights then answers NaN, and whoever reads its loss
//! sees that it diverged, where a ReLU that makes 0 of a NaN would hide it behind the first layer. An infinity is clamped as the number
//! that it is.
//!
//! **The gradient** of a clamp is stopped where the value is known to lie on the flat side: it passes where the value is a NaN.
//!
//! **Zeros.** `relu(-0)` is `-0`, as in PyTorch's vector code; at both zeros the gradient is 0.
//!
//! **Why selections.** `max` and `min` of floats are those of IEEE 754-2008 (`llvm.maxnum`), which return the number where the other
//! operand is a NaN. `value < bound ? bound : value` keeps the NaN, since no comparison with one is true, and is one `vmaxps` on x86,
//! which returns its second operand where one is a NaN. Counts and indices, which are never NaN, go through `max` and `min`.
//!
//! The largest logit of a row is no result but taken off before the exponentials. It may pass a NaN over, which their sum then shows.

pub(crate) mod reference;

use crate::planted;
use crate::pointwise::activation::Activation;
use cubecl::prelude::*;

/// What bounds a value before it is stored: the activations whose gradient their result tells as well as their operand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Clamp {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Clamp {
    /// Every clamp.
    pub const ALL: [Self; 3] = [Self::None, Self::Relu, Self::Relu6];

    /// The activation that it is.
    pub fn activation(self) -> Activation {
        match self {
            Self::None => Activation::Identity,
            Self::Relu => Activation::Relu,
            Self::Relu6 => Activation::Relu6,
        }
    }
}

/// `value` within the bounds of `clamp`; NaN where it is.
#[cube]
pub(crate) fn clamped<F: Float, N: Size>(
    value: Vector<F, N>,
    #[comptime] clamp: Clamp,
) -> Vector<F, N> {
    match comptime!(clamp) {
        Clamp::None => value,
        Clamp::Relu => relu::<F, N>(value),
        Clamp::Relu6 => relu6::<F, N>(value),
    }
}

/// The gradient of [`clamped`], whose operand or result is `value`: 0 at a bound and past it, else `grad`.
#[cube]
pub(crate) fn clamped_grad<F: Float, N: Size>(
    value: Vector<F, N>,
    grad: Vector<F, N>,
    #[comptime] clamp: Clamp,
) -> Vector<F, N> {
    match comptime!(clamp) {
        Clamp::None => grad,
        Clamp::Relu => relu_grad::<F, N>(value, grad),
        Clamp::Relu6 => relu6_grad::<F, N>(value, grad),
    }
}

/// `value`, or `bound` where it is below it; NaN where `value` is.
#[cube]
pub(crate) fn at_least<F: Float, N: Size>(
    value: Vector<F, N>,
    bound: Vector<F, N>,
) -> Vector<F, N> {
    if comptime!(planted::is("clamp_drops_nan")) {
        max(value, bound)
    } else {
        select_many(value.less_than(&bound), bound, value)
    }
}

/// `value`, or `bound` where it is above it; NaN where `value` is.
#[cube]
pub(crate) fn at_most<F: Float, N: Size>(value: Vector<F, N>, bound: Vector<F, N>) -> Vector<F, N> {
    if comptime!(planted::is("clamp_drops_nan")) {
        min(value, bound)
    } else {
        select_many(value.greater_than(&bound), bound, value)
    }
}

/// `max(value, 0)`, and NaN where `value` is.
#[cube]
pub(crate) fn relu<F: Float, N: Size>(value: Vector<F, N>) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    if comptime!(planted::is("relu_drops_nan")) {
        max(value, zero)
    } else {
        at_least::<F, N>(value, zero)
    }
}

/// `min(max(value, 0), 6)`, and NaN where `value` is.
#[cube]
pub(crate) fn relu6<F: Float, N: Size>(value: Vector<F, N>) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    at_most::<F, N>(at_least::<F, N>(value, zero), Vector::new(F::new(6.0f32)))
}

/// The gradient of [`relu()`], whose operand or result is `value`: 0 where that is 0 or below, else `grad`.
#[cube]
pub(crate) fn relu_grad<F: Float, N: Size>(
    value: Vector<F, N>,
    grad: Vector<F, N>,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    if comptime!(planted::is("relu_gradient_stops_at_nan")) {
        select_many(value.greater_than(&zero), grad, zero)
    } else {
        select_many(value.less_equal(&zero), zero, grad)
    }
}

/// The gradient of [`relu6()`], whose operand or result is `value`: 0 where that is 0 or below or 6 or above, else `grad`.
#[cube]
pub(crate) fn relu6_grad<F: Float, N: Size>(
    value: Vector<F, N>,
    grad: Vector<F, N>,
) -> Vector<F, N> {
    let six = Vector::<F, N>::new(F::new(6.0f32));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let below = relu_grad::<F, N>(value, grad);
    if comptime!(planted::is("relu6_gradient_passes_the_bound")) {
        below
    } else {
        select_many(value.greater_equal(&six), zero, below)
    }
}
