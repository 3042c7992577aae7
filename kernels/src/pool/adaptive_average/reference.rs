//! Adaptive average pooling and its gradient over `f64` slices.

use super::AdaptiveAverageProblem;
use crate::pool::bins::reference::{Bin, mean, spread};

/// The bins of one image, in the order of the output's pixels.
fn bins(problem: &AdaptiveAverageProblem) -> Vec<Bin> {
    let ([_, h, w, _], [_, oh, ow, _]) = (problem.input_shape(), problem.output_shape());
    let span =
        |o: usize, size: usize, bins: usize| (o * size) / bins..((o + 1) * size).div_ceil(bins);
    let mut found = Vec::new();
    for oy in 0..oh {
        for ox in 0..ow {
            let pixels: Vec<usize> = span(oy, h, oh)
                .flat_map(|y| span(ox, w, ow).map(move |x| y * w + x))
                .collect();
            let count = pixels.len() as f64;
            found.push(Bin { pixels, count });
        }
    }
    found
}

/// `x` `[n, h, w, c]` to `[n, oh, ow, c]`.
pub fn forward(problem: &AdaptiveAverageProblem, x: &[f64]) -> Vec<f64> {
    mean(&bins(problem), problem.input_shape(), x)
}

/// `grad` `[n, oh, ow, c]` to `[n, h, w, c]`.
pub fn backward(problem: &AdaptiveAverageProblem, grad: &[f64]) -> Vec<f64> {
    spread(&bins(problem), problem.input_shape(), grad)
}
