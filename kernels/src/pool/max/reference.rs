//! Max pooling and its gradient over `f64` slices.

use super::MaxPoolProblem;

/// For every output its value, and the index in `x` that it came from: none where a window has no tap in the image.
fn winners(problem: &MaxPoolProblem, x: &[f64]) -> Vec<(f64, Option<usize>)> {
    let ([n, h, w, c], [_, oh, ow, _]) = (problem.input_shape(), problem.output_shape());
    let options = problem.options();
    let mut found = Vec::with_capacity(n * oh * ow * c);
    let tap = |axis: usize, o: usize, k: usize, size: usize| {
        let padded = o * options.stride[axis] + k * options.dilation[axis];
        padded
            .checked_sub(options.padding[axis])
            .filter(|&at| at < size)
    };
    for image in 0..n {
        for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
            for channel in 0..c {
                let mut best = (f64::NEG_INFINITY, None);
                for ky in 0..options.kernel[0] {
                    for kx in 0..options.kernel[1] {
                        let (Some(iy), Some(ix)) = (tap(0, oy, ky, h), tap(1, ox, kx, w)) else {
                            continue;
                        };
                        let at = ((image * h + iy) * w + ix) * c + channel;
                        if best.1.is_none() || x[at] > best.0 || x[at].is_nan() {
                            best = (x[at], Some(at));
                        }
                    }
                }
                found.push(best);
            }
        }
    }
    found
}

/// `x` `[n, h, w, c]` to `[n, oh, ow, c]`.
pub fn forward(problem: &MaxPoolProblem, x: &[f64]) -> Vec<f64> {
    winners(problem, x)
        .into_iter()
        .map(|(value, _)| value)
        .collect()
}

/// `x` and `grad` `[n, oh, ow, c]` to the gradient `[n, h, w, c]`.
pub fn backward(problem: &MaxPoolProblem, x: &[f64], grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    for ((_, from), g) in winners(problem, x).into_iter().zip(grad) {
        if let Some(at) = from {
            out[at] += g;
        }
    }
    out
}
