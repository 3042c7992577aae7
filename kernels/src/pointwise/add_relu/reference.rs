//! The sum with its ReLU, and the gradients, over `f64` slices.

use crate::clamp::reference::{relu, relu_grad};

/// `max(x + m, 0)` of `x` `[n, pixels, c]` and `m` `[n, c]`.
pub fn forward(x: &[f64], m: &[f64], pixels: usize, channels: usize) -> Vec<f64> {
    let mix = |i: usize| m[i / (pixels * channels) * channels + i % channels];
    x.iter()
        .enumerate()
        .map(|(i, x)| relu(x + mix(i)))
        .collect()
}

/// The gradients with respect to `x` and to `m`, from the result `y`; `images` counts them where they have no pixel.
pub fn backward(
    y: &[f64],
    grad: &[f64],
    images: usize,
    pixels: usize,
    channels: usize,
) -> [Vec<f64>; 2] {
    let passed: Vec<f64> = y.iter().zip(grad).map(|(y, g)| relu_grad(*y, *g)).collect();
    let mut grad_m = vec![0.0; images * channels];
    for (i, g) in passed.iter().enumerate() {
        grad_m[i / (pixels * channels) * channels + i % channels] += g;
    }
    [passed, grad_m]
}
