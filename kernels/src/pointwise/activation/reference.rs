//! Activations and their derivatives over `f64`.

use super::Activation;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `a(x)` of a finite `x`.
pub fn value(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu => x * sigmoid(x),
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// `a'(x)` of a finite `x`; at a kink that of the flat side.
pub fn slope(x: f64, activation: Activation) -> f64 {
    let inside = |low: f64, high: f64| f64::from(low < x && x < high);
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => inside(0.0, f64::INFINITY),
        Activation::Relu6 => inside(0.0, 6.0),
        Activation::Silu => sigmoid(x) + x * sigmoid(x) * sigmoid(-x),
        Activation::HardSwish if x <= -3.0 => 0.0,
        Activation::HardSwish if x >= 3.0 => 1.0,
        Activation::HardSwish => x / 3.0 + 0.5,
        Activation::Sigmoid => sigmoid(x) * sigmoid(-x),
        Activation::HardSigmoid => inside(-3.0, 3.0) / 6.0,
    }
}
