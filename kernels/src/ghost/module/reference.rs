//! The Ghost module and its gradients over `f64` slices, in training.

use super::GhostProblem;
use crate::conv::{dense, depthwise};
use crate::norm::batch_norm::reference::Layer;

/// Weights and norms on the host, in the order of [`super::Ghost`].
pub struct Weights<'a> {
    /// `[k, k, c, m]`.
    pub primary: &'a [f64],
    /// The primary half's norm.
    pub primary_norm: Layer<'a>,
    /// `[d, d, m (s - 1)]`.
    pub cheap: &'a [f64],
    /// The cheap half's norm.
    pub cheap_norm: Layer<'a>,
}

/// Writes two rows of pixels side by side and keeps the first `channels` of each pixel.
fn concatenate(p: &[f64], m: usize, q: &[f64], cheap: usize, channels: usize) -> Vec<f64> {
    p.chunks(m)
        .zip(q.chunks(cheap))
        .flat_map(|(p, q)| p.iter().chain(q).take(channels))
        .copied()
        .collect()
}

/// The channels `from..to` of each pixel of `values`, followed by zeros up to `width` channels.
fn part(values: &[f64], channels: usize, from: usize, to: usize, width: usize) -> Vec<f64> {
    values
        .chunks(channels)
        .flat_map(|pixel| {
            let own = pixel[from..to].iter().copied();
            own.chain(std::iter::repeat(0.0)).take(width)
        })
        .collect()
}

/// The training forward pass.
pub fn train(problem: &GhostProblem, weights: &Weights, x: &[f64]) -> Vec<f64> {
    let (m, cheap) = (problem.primary.out_channels, problem.cheap.out_channels());
    let p = dense::reference::forward(&problem.primary, x, weights.primary);
    let p = weights.primary_norm.forward(&p).output;
    let q = depthwise::reference::forward(&problem.cheap, &p, weights.cheap, None);
    let q = weights.cheap_norm.forward(&q).output;
    concatenate(&p, m, &q, cheap, problem.channels)
}

/// The inference forward pass, with the running `[mean, variance]` of the primary and of the cheap norm.
pub fn infer(
    problem: &GhostProblem,
    weights: &Weights,
    running: [[&[f64]; 2]; 2],
    x: &[f64],
) -> Vec<f64> {
    let (m, cheap) = (problem.primary.out_channels, problem.cheap.out_channels());
    let [first, second] = running;
    let p = dense::reference::forward(&problem.primary, x, weights.primary);
    let p = weights.primary_norm.apply(&p, first[0], first[1]);
    let q = depthwise::reference::forward(&problem.cheap, &p, weights.cheap, None);
    let q = weights.cheap_norm.apply(&q, second[0], second[1]);
    concatenate(&p, m, &q, cheap, problem.channels)
}

/// The gradients with respect to `x`, the primary weight, its norm's gamma and beta, the cheap weight, its norm's gamma and beta.
pub fn backward(
    problem: &GhostProblem,
    weights: &Weights,
    x: &[f64],
    grad: &[f64],
) -> [Vec<f64>; 7] {
    let (m, cheap) = (problem.primary.out_channels, problem.cheap.out_channels());
    let n = problem.channels;
    let before_first = dense::reference::forward(&problem.primary, x, weights.primary);
    let first = weights.primary_norm.forward(&before_first).output;
    let before_second = depthwise::reference::forward(&problem.cheap, &first, weights.cheap, None);
    // The slice sends nothing to the channels that it dropped.
    let to_second = part(grad, n, m, n, cheap);
    let [q, _, cheap_gamma, cheap_beta] = weights.cheap_norm.backward(&before_second, &to_second);
    let through = depthwise::reference::grad_input(&problem.cheap, weights.cheap, &q);
    let to_first: Vec<f64> = part(grad, n, 0, m, m)
        .iter()
        .zip(&through)
        .map(|(direct, through)| direct + through)
        .collect();
    let [p, _, gamma, beta] = weights.primary_norm.backward(&before_first, &to_first);
    [
        dense::reference::grad_input(&problem.primary, weights.primary, &p),
        dense::reference::grad_weight(&problem.primary, x, &p),
        gamma,
        beta,
        depthwise::reference::grad_weight(&problem.cheap, &first, &q),
        cheap_gamma,
        cheap_beta,
    ]
}
