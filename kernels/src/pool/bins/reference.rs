//! Means over given pixels and their gradient, over `f64` slices.

/// The input pixels of one output pixel, and what their sum is divided by.
pub(in crate::pool) struct Bin {
    pub pixels: Vec<usize>,
    pub count: f64,
}

/// `x` `[n, pixels, c]` to `[n, bins, c]`.
pub(in crate::pool) fn mean(bins: &[Bin], [_, h, w, c]: [usize; 4], x: &[f64]) -> Vec<f64> {
    let mut y = Vec::new();
    for image in x.chunks(h * w * c) {
        for bin in bins {
            for channel in 0..c {
                let sum: f64 = bin.pixels.iter().map(|p| image[p * c + channel]).sum();
                y.push(sum / bin.count);
            }
        }
    }
    y
}

/// `grad` `[n, bins, c]` to `[n, pixels, c]`.
pub(in crate::pool) fn spread(bins: &[Bin], [n, h, w, c]: [usize; 4], grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; n * h * w * c];
    for (image, grad) in out.chunks_mut(h * w * c).zip(grad.chunks(bins.len() * c)) {
        for (bin, grad) in bins.iter().zip(grad.chunks(c)) {
            for pixel in &bin.pixels {
                for channel in 0..c {
                    image[pixel * c + channel] += grad[channel] / bin.count;
                }
            }
        }
    }
    out
}
