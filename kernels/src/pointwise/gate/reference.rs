//! The gate and its gradients over `f64` slices.

use crate::pointwise::activation::{Activation, reference::slope, reference::value};

/// `x` `[n, pixels, c]` times `a(s)`, `s` `[n, c]`.
pub fn forward(
    x: &[f64],
    s: &[f64],
    pixels: usize,
    channels: usize,
    activation: Activation,
) -> Vec<f64> {
    let gate = |i: usize| {
        value(
            s[i / (pixels * channels) * channels + i % channels],
            activation,
        )
    };
    x.iter().enumerate().map(|(i, x)| x * gate(i)).collect()
}

/// The gradients with respect to `x` and to `s`.
pub fn backward(
    x: &[f64],
    s: &[f64],
    grad: &[f64],
    pixels: usize,
    channels: usize,
    activation: Activation,
) -> [Vec<f64>; 2] {
    let mut grad_s = vec![0.0; s.len()];
    for (i, (x, g)) in x.iter().zip(grad).enumerate() {
        grad_s[i / (pixels * channels) * channels + i % channels] += x * g;
    }
    for (g, s) in grad_s.iter_mut().zip(s) {
        *g *= slope(*s, activation);
    }
    [forward(grad, s, pixels, channels, activation), grad_s]
}
