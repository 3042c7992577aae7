//! Activations and their derivatives over `f64`.

use super::Activation;
use crate::clamp::reference::{relu, relu_grad};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `a(x)`; at an infinity the limit.
pub fn value(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu | Activation::HardSwish if x == f64::NEG_INFINITY => 0.0,
        Activation::Silu => x * sigmoid(x),
        Activation::HardSwish => x * ((x + 3.0).clamp(0.0, 6.0) / 6.0),
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// `a'(x)`; at a kink that of the flat side, at a NaN that of the other, at an infinity the limit.
pub fn slope(x: f64, activation: Activation) -> f64 {
    let inside = |low: f64, high: f64| if x <= low || x >= high { 0.0 } else { 1.0 };
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => relu_grad(x, 1.0),
        Activation::Relu6 => inside(0.0, 6.0),
        Activation::Silu if x.is_infinite() => sigmoid(x),
        Activation::Silu => sigmoid(x) + x * sigmoid(x) * sigmoid(-x),
        Activation::HardSwish if x <= -3.0 => 0.0,
        Activation::HardSwish if x >= 3.0 => 1.0,
        Activation::HardSwish => x / 3.0 + 0.5,
        Activation::Sigmoid => sigmoid(x) * sigmoid(-x),
        Activation::HardSigmoid => inside(-3.0, 3.0) / 6.0,
    }
}
