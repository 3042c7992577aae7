//! The grouped convolution and its gradients over `f64` slices: eight loops, obviously right, never fast.

use super::GroupedProblem;

/// Calls `visit(input index, weight index, output index)` for every product of the convolution.
fn for_each_product(problem: &GroupedProblem, mut visit: impl FnMut(usize, usize, usize)) {
    let [oh, ow] = problem.output();
    let [[h, w], [kh, kw]] = [problem.input, problem.kernel];
    let ([sv, sh], [pv, ph]) = (problem.options.stride, problem.options.padding);
    let (ci, co, groups) = (problem.in_channels, problem.out_channels, problem.groups);
    let (gi, go) = (ci / groups, co / groups);
    for n in 0..problem.batch {
        for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let (iy, ix) = (y * sv + ky, x * sh + kx);
                if iy < pv || ix < ph || iy - pv >= h || ix - ph >= w {
                    continue;
                }
                for (i, o) in (0..gi).flat_map(|i| (0..co).map(move |o| (i, o))) {
                    visit(
                        ((n * h + iy - pv) * w + ix - ph) * ci + o / go * gi + i,
                        ((ky * kw + kx) * gi + i) * co + o,
                        ((n * oh + y) * ow + x) * co + o,
                    );
                }
            }
        }
    }
}

/// `y[n, oy, ox, o] = sum of x[n, oy s + ky - p, ox s + kx - p, g gi + i] w[ky, kx, i, o]`, where `g` is the group of `o`.
pub fn forward(problem: &GroupedProblem, input: &[f64], weight: &[f64]) -> Vec<f64> {
    let mut output = vec![0.0; problem.output_shape().iter().product()];
    for_each_product(problem, |i, w, o| output[o] += input[i] * weight[w]);
    output
}

/// The gradient with respect to the input.
pub fn grad_input(problem: &GroupedProblem, weight: &[f64], grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; problem.input_shape().iter().product()];
    for_each_product(problem, |i, w, o| out[i] += grad[o] * weight[w]);
    out
}

/// The gradient with respect to the weight.
pub fn grad_weight(problem: &GroupedProblem, input: &[f64], grad: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; problem.weight_shape().iter().product()];
    for_each_product(problem, |i, w, o| out[w] += input[i] * grad[o]);
    out
}
