//! The sum with its ReLU, and the gradients, over `f64` slices.

/// `max(x + m, 0)` of `x` `[n, pixels, c]` and `m` `[n, c]`.
pub fn forward(x: &[f64], m: &[f64], pixels: usize, channels: usize) -> Vec<f64> {
    let mix = |i: usize| m[i / (pixels * channels) * channels + i % channels];
    x.iter()
        .enumerate()
        .map(|(i, x)| (x + mix(i)).max(0.0))
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
    let passed: Vec<f64> = y
        .iter()
        .zip(grad)
        .map(|(y, g)| if *y > 0.0 { *g } else { 0.0 })
        .collect();
    let mut grad_m = vec![0.0; images * channels];
    for (i, g) in passed.iter().enumerate() {
        grad_m[i / (pixels * channels) * channels + i % channels] += g;
    }
    [passed, grad_m]
}
