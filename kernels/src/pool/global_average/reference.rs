//! The global average and its gradient over `f64` slices.

/// `x` `[n, pixels, c]` to `[n, c]`.
pub fn forward(x: &[f64], pixels: usize, channels: usize) -> Vec<f64> {
    x.chunks(pixels * channels)
        .flat_map(|image| {
            (0..channels)
                .map(move |c| image.iter().skip(c).step_by(channels).sum::<f64>() / pixels as f64)
        })
        .collect()
}

/// `grad` `[n, c]` to `[n, pixels, c]`.
pub fn backward(grad: &[f64], pixels: usize, channels: usize) -> Vec<f64> {
    grad.chunks(channels)
        .flat_map(|row| std::iter::repeat_n(row, pixels).flatten())
        .map(|g| g / pixels as f64)
        .collect()
}
