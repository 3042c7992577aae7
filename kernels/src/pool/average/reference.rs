//! Average pooling and its gradient over `f64` slices.

use super::AveragePoolProblem;
use crate::pool::bins::reference::{Bin, mean, spread};

/// The windows of one image, in the order of the output's pixels.
fn windows(problem: &AveragePoolProblem) -> Vec<Bin> {
    let ([_, h, w, _], [_, oh, ow, _]) = (problem.input_shape(), problem.output_shape());
    let options = problem.options();
    let span = |axis: usize, o: usize, size: usize| {
        let (padding, start) = (options.padding[axis], o * options.stride[axis]);
        let padded = start..(start + options.kernel[axis]).min(size + 2 * padding);
        let count = padded.len();
        let inside: Vec<usize> = padded
            .filter(|&at| at >= padding && at - padding < size)
            .map(|at| at - padding)
            .collect();
        (inside, count)
    };
    let mut found = Vec::new();
    for oy in 0..oh {
        for ox in 0..ow {
            let ((rows, y_count), (columns, x_count)) = (span(0, oy, h), span(1, ox, w));
            let pixels: Vec<usize> = rows
                .iter()
                .flat_map(|y| columns.iter().map(move |x| y * w + x))
                .collect();
            let count = if options.count_include_pad {
                y_count * x_count
            } else {
                pixels.len()
            };
            found.push(Bin {
                pixels,
                count: count as f64,
            });
        }
    }
    found
}

/// `x` `[n, h, w, c]` to `[n, oh, ow, c]`.
pub fn forward(problem: &AveragePoolProblem, x: &[f64]) -> Vec<f64> {
    mean(&windows(problem), problem.input_shape(), x)
}

/// `grad` `[n, oh, ow, c]` to `[n, h, w, c]`.
pub fn backward(problem: &AveragePoolProblem, grad: &[f64]) -> Vec<f64> {
    spread(&windows(problem), problem.input_shape(), grad)
}
