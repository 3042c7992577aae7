//! Softmax attention and its gradients over `f64` slices.

use super::AttentionProblem;
use crate::norm::softmax::reference as softmax;

/// The gradients of [`forward`]'s inputs.
#[derive(Debug, Clone)]
pub struct Grads {
    /// `[s, n, heads d]`.
    pub q: Vec<f64>,
    /// `[s, n, heads d]`.
    pub k: Vec<f64>,
    /// `[s, n, heads dv]`.
    pub v: Vec<f64>,
    /// `[heads, h w]`; empty without offsets.
    pub bias: Vec<f64>,
}

/// Offset between two tokens of a map of width `w`.
fn offset(i: usize, j: usize, w: usize) -> usize {
    (i / w).abs_diff(j / w) * w + (i % w).abs_diff(j % w)
}

/// Scores of the queries of one sample and head, `[n, n]`.
fn scores(
    problem: &AttentionProblem,
    [sample, head]: [usize; 2],
    q: &[f64],
    k: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let &AttentionProblem {
        tokens,
        dim,
        options,
        ..
    } = problem;
    let at = |i: usize, c: usize| ((sample * tokens + i) * options.heads + head) * dim + c;
    let mut scores = Vec::with_capacity(tokens * tokens);
    for (i, j) in (0..tokens).flat_map(|i| (0..tokens).map(move |j| (i, j))) {
        let product: f64 = (0..dim).map(|c| q[at(i, c)] * k[at(j, c)]).sum();
        let learned = options
            .offsets
            .map(|[_, w]| bias[head * tokens + offset(i, j, w)]);
        scores.push(options.scale * product + learned.unwrap_or(0.0));
    }
    scores
}

/// Probabilities `[s, heads, n, n]`.
pub fn probabilities(problem: &AttentionProblem, q: &[f64], k: &[f64], bias: &[f64]) -> Vec<f64> {
    pairs(problem)
        .flat_map(|place| softmax::forward(&scores(problem, place, q, k, bias), problem.tokens))
        .collect()
}

/// Sample and head, in order.
fn pairs(problem: &AttentionProblem) -> impl Iterator<Item = [usize; 2]> {
    let heads = problem.options.heads;
    (0..problem.samples * heads).map(move |i| [i / heads, i % heads])
}

/// The output `[s, n, heads dv]` from the [`probabilities`].
pub fn forward(problem: &AttentionProblem, probabilities: &[f64], v: &[f64]) -> Vec<f64> {
    let &AttentionProblem {
        tokens,
        dim_v,
        options,
        ..
    } = problem;
    let mut out = vec![0.0; v.len()];
    for [sample, head] in pairs(problem) {
        let p = &probabilities[(sample * options.heads + head) * tokens * tokens..];
        let at = |i: usize, c: usize| ((sample * tokens + i) * options.heads + head) * dim_v + c;
        for (i, c) in (0..tokens).flat_map(|i| (0..dim_v).map(move |c| (i, c))) {
            out[at(i, c)] = (0..tokens).map(|j| p[i * tokens + j] * v[at(j, c)]).sum();
        }
    }
    out
}

/// The gradients from the [`probabilities`] and `grad` `[s, n, heads dv]`.
pub fn backward(
    problem: &AttentionProblem,
    probabilities: &[f64],
    [q, k, v]: [&[f64]; 3],
    grad: &[f64],
) -> Grads {
    let &AttentionProblem {
        tokens,
        dim,
        dim_v,
        options,
        ..
    } = problem;
    let heads = options.heads;
    let learned = options.offsets.map_or(0, |_| heads * tokens);
    let mut grads = Grads {
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
        bias: vec![0.0; learned],
    };
    for [sample, head] in pairs(problem) {
        let p = &probabilities[(sample * heads + head) * tokens * tokens..][..tokens * tokens];
        let row = |i: usize| (sample * tokens + i) * heads + head;
        let mut grad_p = vec![0.0; tokens * tokens];
        for (i, j) in (0..tokens).flat_map(|i| (0..tokens).map(move |j| (i, j))) {
            for c in 0..dim_v {
                let g = grad[row(i) * dim_v + c];
                grads.v[row(j) * dim_v + c] += p[i * tokens + j] * g;
                grad_p[i * tokens + j] += g * v[row(j) * dim_v + c];
            }
        }
        let grad_s = softmax::backward(p, &grad_p, tokens);
        for (i, j) in (0..tokens).flat_map(|i| (0..tokens).map(move |j| (i, j))) {
            let slope = grad_s[i * tokens + j];
            for c in 0..dim {
                grads.q[row(i) * dim + c] += options.scale * slope * k[row(j) * dim + c];
                grads.k[row(j) * dim + c] += options.scale * slope * q[row(i) * dim + c];
            }
            if let Some([_, w]) = options.offsets {
                grads.bias[head * tokens + offset(i, j, w)] += slope;
            }
        }
    }
    grads
}
