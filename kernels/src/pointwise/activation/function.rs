use crate::clamp::{relu, relu_grad, relu6, relu6_grad};
use cubecl::prelude::*;

/// A function of one element; a comptime choice of the kernels that apply it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x sigmoid(x)`, also known as swish.
    Silu,
    /// `x min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 7] = [
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::Silu,
        Self::HardSwish,
        Self::Sigmoid,
        Self::HardSigmoid,
    ];

    /// Its name, as PyTorch's functional interface writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::Silu => "silu",
            Self::HardSwish => "hardswish",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid => "hardsigmoid",
        }
    }
}

/// Past this distance from 0 an exponential is 0 in every element type, and a product with it is taken to be 0: an infinite factor
/// would make it NaN.
const FAR: f32 = 1000.0;

/// `value` in every lane.
#[cube]
fn all<F: Float, N: Size>(#[comptime] value: f32) -> Vector<F, N> {
    Vector::new(F::new(value))
}

/// `a(x)`.
#[cube]
pub(crate) fn activate<F: Float, N: Size>(
    x: Vector<F, N>,
    #[comptime] activation: Activation,
) -> Vector<F, N> {
    let zero = all::<F, N>(0.0f32);
    let three = all::<F, N>(3.0f32);
    let six = all::<F, N>(6.0f32);
    match comptime!(activation) {
        Activation::Identity => x,
        Activation::Relu => relu::<F, N>(x),
        Activation::Relu6 => relu6::<F, N>(x),
        Activation::Silu => {
            let product = x * sigmoid::<F, N>(x);
            select_many(x.less_than(&-all::<F, N>(FAR)), zero, product)
        }
        Activation::HardSwish => {
            let product = x * ((x + three) * (all::<F, N>(1.0f32) / six));
            let above = select_many(x.less_than(&-three), zero, product);
            select_many(x.greater_than(&three), x, above)
        }
        Activation::Sigmoid => sigmoid::<F, N>(x),
        Activation::HardSigmoid => {
            let one = all::<F, N>(1.0f32);
            let above = select_many(x.less_than(&-three), zero, (x + three) * (one / six));
            select_many(x.greater_than(&three), one, above)
        }
    }
}

/// `exp(-|x|)`.
#[cube]
fn decay<F: Float, N: Size>(x: Vector<F, N>) -> Vector<F, N> {
    (-x.abs()).exp()
}

#[cube]
fn sigmoid<F: Float, N: Size>(x: Vector<F, N>) -> Vector<F, N> {
    let (zero, one) = (all::<F, N>(0.0f32), all::<F, N>(1.0f32));
    let e = decay::<F, N>(x);
    select_many(x.less_than(&zero), e, one) / (one + e)
}

/// `a'(x)`; at a kink that of the flat side, at a NaN that of the other.
#[cube]
fn slope<F: Float, N: Size>(x: Vector<F, N>, #[comptime] activation: Activation) -> Vector<F, N> {
    let zero = all::<F, N>(0.0f32);
    let one = all::<F, N>(1.0f32);
    let three = all::<F, N>(3.0f32);
    let six = all::<F, N>(6.0f32);
    match comptime!(activation) {
        Activation::Identity => one,
        Activation::Relu => relu_grad::<F, N>(x, one),
        Activation::Relu6 => relu6_grad::<F, N>(x, one),
        Activation::Silu => {
            let e = decay::<F, N>(x);
            let inverse = one / (one + e);
            let value = select_many(x.less_than(&zero), e, one) * inverse;
            if comptime!(crate::planted::is("silu_slope_without_product")) {
                value
            } else {
                let near = select_many(x.abs().less_than(&all::<F, N>(FAR)), x, zero);
                value + near * (e * inverse * inverse)
            }
        }
        Activation::HardSwish => {
            let inner = x / three + all::<F, N>(0.5f32);
            let above = select_many(x.less_equal(&-three), zero, inner);
            select_many(x.greater_equal(&three), one, above)
        }
        Activation::Sigmoid => {
            let e = decay::<F, N>(x);
            let inverse = one / (one + e);
            e * inverse * inverse
        }
        Activation::HardSigmoid => {
            let above = select_many(x.less_equal(&-three), zero, one / six);
            select_many(x.greater_equal(&three), zero, above)
        }
    }
}

/// `grad a'(x)`, and 0 where the slope is 0, whatever arrives there.
#[cube]
pub(crate) fn pull_back<F: Float, N: Size>(
    x: Vector<F, N>,
    grad: Vector<F, N>,
    #[comptime] activation: Activation,
) -> Vector<F, N> {
    let zero = all::<F, N>(0.0f32);
    let slope = slope::<F, N>(x, activation);
    select_many(slope.equal(&zero), zero, grad * slope)
}
