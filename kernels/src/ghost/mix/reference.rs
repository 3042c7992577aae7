//! The ghost half of a stage and its gradients over `f64` slices, in training.

use super::MixProblem;
use crate::Clamp;
use crate::matmul::gemm::{GemmProblem, reference as product};
use crate::norm::batch_norm::reference::Layer;
use crate::pool::global_average::reference as average;

/// A weight on the host with the norm behind it.
pub struct Branch<'a> {
    /// Row-major.
    pub weight: &'a [f64],
    /// Gamma, beta and epsilon; its ReLU and residual are not looked at.
    pub norm: Layer<'a>,
}

/// The cheap branch, and the mix' first and second layer.
pub struct Weights<'a> {
    /// `[c, c]`.
    pub cheap: Branch<'a>,
    /// `[p + k r, c]`.
    pub first: Branch<'a>,
    /// `[c, c]`.
    pub second: Branch<'a>,
}

fn gemm(m: usize, k: usize, n: usize, problem: &MixProblem) -> GemmProblem {
    GemmProblem {
        m,
        k,
        n,
        bias: false,
        dtype: problem.dtype,
    }
}

fn layer<'a>(norm: &Layer<'a>, residual: Option<&'a [f64]>, clamp: Clamp) -> Layer<'a> {
    Layer {
        gamma: norm.gamma,
        beta: norm.beta,
        epsilon: norm.epsilon,
        residual,
        clamp,
    }
}

/// The channels from `start` on, `count` of them, of pixels of `channels`.
fn part(values: &[f64], channels: usize, start: usize, count: usize) -> Vec<f64> {
    let pixels = values.chunks(channels);
    pixels
        .flat_map(|pixel| &pixel[start..start + count])
        .copied()
        .collect()
}

/// Everything that the forward pass computes on its way.
struct Steps {
    pooled: Vec<f64>,
    before_first: Vec<f64>,
    hidden: Vec<f64>,
    before_second: Vec<f64>,
    product: Vec<f64>,
    /// The row of each image, once for each of its pixels.
    rows: Vec<f64>,
    ghost: Vec<f64>,
}

fn forward(problem: &MixProblem, weights: &Weights, x0: &[f64], features: &[Vec<f64>]) -> Steps {
    let [n, h, w] = problem.maps;
    let (p, r, c) = (problem.base, problem.raw, problem.ghosts());
    let means = average::forward(x0, h * w, p);
    let others: Vec<Vec<f64>> = features
        .iter()
        .map(|f| average::forward(f, h * w, r))
        .collect();
    let mut pooled = Vec::new();
    for image in 0..n {
        pooled.extend(&means[image * p..][..p]);
        for other in &others {
            pooled.extend(&other[image * r..][..r]);
        }
    }
    let wide = gemm(n, problem.pooled(), c, problem);
    let before_first = product::forward(&wide, &pooled, weights.first.weight, &[]);
    let hidden = layer(&weights.first.norm, None, Clamp::Relu)
        .forward(&before_first)
        .output;
    let before_second =
        product::forward(&gemm(n, c, c, problem), &hidden, weights.second.weight, &[]);
    let row = layer(&weights.second.norm, None, Clamp::None)
        .forward(&before_second)
        .output;
    let rows: Vec<f64> = row.chunks(c).flat_map(|row| row.repeat(h * w)).collect();
    let read = part(x0, p, r, c);
    let cheap = gemm(n * h * w, c, c, problem);
    let product = product::forward(&cheap, &read, weights.cheap.weight, &[]);
    let ghost = layer(&weights.cheap.norm, Some(&rows), Clamp::Relu)
        .forward(&product)
        .output;
    Steps {
        pooled,
        before_first,
        hidden,
        before_second,
        product,
        rows,
        ghost,
    }
}

/// The training forward pass, `[n, h, w, c]`.
pub fn train(
    problem: &MixProblem,
    weights: &Weights,
    x0: &[f64],
    features: &[Vec<f64>],
) -> Vec<f64> {
    forward(problem, weights, x0, features).ghost
}

/// The gradients with respect to `x0`, to each feature, and to weight, gamma and beta of the cheap branch, of the first and of the second
/// layer.
pub fn backward(
    problem: &MixProblem,
    weights: &Weights,
    x0: &[f64],
    features: &[Vec<f64>],
    grad: &[f64],
) -> Vec<Vec<f64>> {
    let [n, h, w] = problem.maps;
    let (p, r, c) = (problem.base, problem.raw, problem.ghosts());
    let steps = forward(problem, weights, x0, features);
    let cheap_layer = layer(&weights.cheap.norm, Some(&steps.rows), Clamp::Relu);
    let [to_product, before, cheap_gamma, cheap_beta] = cheap_layer.backward(&steps.product, grad);
    let mut row = vec![0.0; n * c];
    for (pixel, values) in before.chunks(c).enumerate() {
        for (sum, value) in row[pixel / (h * w) * c..].iter_mut().zip(values) {
            *sum += value;
        }
    }
    let second_layer = layer(&weights.second.norm, None, Clamp::None);
    let [to_second, _, second_gamma, second_beta] =
        second_layer.backward(&steps.before_second, &row);
    let square = gemm(n, c, c, problem);
    let to_hidden = product::grad_a(&square, weights.second.weight, &to_second);
    let first_layer = layer(&weights.first.norm, None, Clamp::Relu);
    let [to_first, _, first_gamma, first_beta] =
        first_layer.backward(&steps.before_first, &to_hidden);
    let wide = gemm(n, problem.pooled(), c, problem);
    let to_pooled = product::grad_a(&wide, weights.first.weight, &to_first);
    let spread = |start, count| {
        average::backward(
            &part(&to_pooled, problem.pooled(), start, count),
            h * w,
            count,
        )
    };
    let cheap = gemm(n * h * w, c, c, problem);
    let through = product::grad_a(&cheap, weights.cheap.weight, &to_product);
    let mut to_x0 = spread(0, p);
    for (pixel, values) in through.chunks(c).enumerate() {
        for (sum, value) in to_x0[pixel * p + r..].iter_mut().zip(values) {
            *sum += value;
        }
    }
    let mut found = vec![to_x0];
    found.extend((0..features.len()).map(|i| spread(p + i * r, r)));
    found.extend([
        product::grad_b(&cheap, &part(x0, p, r, c), &to_product),
        cheap_gamma,
        cheap_beta,
        product::grad_b(&wide, &steps.pooled, &to_first),
        first_gamma,
        first_beta,
        product::grad_b(&square, &steps.hidden, &to_second),
        second_gamma,
        second_beta,
    ]);
    found
}
