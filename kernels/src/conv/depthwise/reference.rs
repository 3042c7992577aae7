//! The depthwise convolution and its gradients over `f64` slices: six loops, obviously right, never fast.

use super::DepthwiseProblem;

/// Calls `visit(input index, weight index, output index)` for every product of the convolution.
fn for_each_product(problem: &DepthwiseProblem, mut visit: impl FnMut(usize, usize, usize)) {
    let [oh, ow] = problem.output();
    let [[h, w], [kh, kw]] = [problem.input, problem.kernel];
    let ([sv, sh], [dv, dh]) = (problem.options.stride, problem.options.dilation);
    let [top, _, left, _] = problem.options.padding;
    let (c, m, co) = (problem.channels, problem.multiplier, problem.out_channels());
    for n in 0..problem.batch {
        for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let (iy, ix) = (y * sv + ky * dv, x * sh + kx * dh);
                if iy < top || ix < left || iy - top >= h || ix - left >= w {
                    continue;
                }
                for j in 0..co {
                    visit(
                        ((n * h + iy - top) * w + ix - left) * c + j / m,
                        (ky * kw + kx) * co + j,
                        ((n * oh + y) * ow + x) * co + j,
                    );
                }
            }
        }
    }
}

/// `y[n, oy, ox, j] = b[j] + sum of x[n, oy s + ky d - top, ox s + kx d - left, j / m] w[ky, kx, j]`.
pub fn forward(
    problem: &DepthwiseProblem,
    x: &[f64],
    weight: &[f64],
    bias: Option<&[f64]>,
) -> Vec<f64> {
    let (pixels, channels) = (
        problem.output_shape()[..3].iter().product(),
        problem.out_channels(),
    );
    let mut y = match bias {
        Some(bias) => bias.repeat(pixels),
        None => vec![0.0; pixels * channels],
    };
    for_each_product(problem, |i, w, o| y[o] += x[i] * weight[w]);
    y
}

/// The gradient with respect to the input.
pub fn grad_input(problem: &DepthwiseProblem, weight: &[f64], grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; problem.input_shape().iter().product()];
    for_each_product(problem, |i, w, o| out[i] += grad[o] * weight[w]);
    out
}

/// The gradient with respect to the weight.
pub fn grad_weight(problem: &DepthwiseProblem, x: &[f64], grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; problem.weight_shape().iter().product()];
    for_each_product(problem, |i, w, o| out[w] += x[i] * grad[o]);
    out
}

/// The gradient with respect to the bias.
pub fn grad_bias(problem: &DepthwiseProblem, grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; problem.out_channels()];
    for pixel in grad.chunks(problem.out_channels()) {
        for (sum, g) in out.iter_mut().zip(pixel) {
            *sum += g;
        }
    }
    out
}
