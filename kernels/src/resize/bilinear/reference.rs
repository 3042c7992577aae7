//! Bilinear resizing and its gradient over `f64` slices.

use super::{Alignment, BilinearProblem};

/// For each output along `axis` the two inputs that it reads, with their weights.
fn taps(problem: &BilinearProblem, axis: usize) -> Vec<[(usize, f64); 2]> {
    let inputs = problem.input_shape()[1 + axis];
    let outputs = problem.output_shape()[1 + axis];
    (0..outputs)
        .map(|o| {
            // The position as a fraction, so that no rounding decides between two pixels.
            let (position, pixel) = match problem.alignment() {
                Alignment::HalfPixel => {
                    (((2 * o + 1) * inputs).saturating_sub(outputs), 2 * outputs)
                }
                Alignment::Corners if outputs == 1 => (0, 1),
                Alignment::Corners => (o * (inputs - 1), outputs - 1),
            };
            let below = position / pixel;
            let share = (position % pixel) as f64 / pixel as f64;
            [(below, 1.0 - share), ((below + 1).min(inputs - 1), share)]
        })
        .collect()
}

/// Calls `visit` with every output, an input that it reads and the weight.
fn visit(problem: &BilinearProblem, mut visit: impl FnMut(usize, usize, f64)) {
    let ([n, h, w, c], [_, oh, ow, _]) = (problem.input_shape(), problem.output_shape());
    let (vertical, horizontal) = (taps(problem, 0), taps(problem, 1));
    for image in 0..n {
        for (oy, rows) in vertical.iter().enumerate() {
            for (ox, columns) in horizontal.iter().enumerate() {
                for (iy, y_weight) in rows {
                    for (ix, x_weight) in columns {
                        for channel in 0..c {
                            let output = ((image * oh + oy) * ow + ox) * c + channel;
                            let input = ((image * h + iy) * w + ix) * c + channel;
                            visit(output, input, y_weight * x_weight);
                        }
                    }
                }
            }
        }
    }
}

/// `x` `[n, h, w, c]` to `[n, oh, ow, c]`.
pub fn forward(problem: &BilinearProblem, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; problem.output_shape().iter().product()];
    visit(problem, |output, input, weight| {
        y[output] += weight * x[input]
    });
    y
}

/// `grad` `[n, oh, ow, c]` to `[n, h, w, c]`.
pub fn backward(problem: &BilinearProblem, grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; problem.input_shape().iter().product()];
    visit(problem, |output, input, weight| {
        out[input] += weight * grad[output]
    });
    out
}
