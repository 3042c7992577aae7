//! The matrix product and its gradients over `f64` slices.

use super::GemmProblem;

/// `c[i, j] = bias[j] + sum over l of a[i, l] b[l, j]`; an empty `bias` counts as zeros.
pub fn forward(problem: &GemmProblem, a: &[f64], b: &[f64], bias: &[f64]) -> Vec<f64> {
    let &GemmProblem { m, k, n, .. } = problem;
    let mut c = vec![0.0; m * n];
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let sum: f64 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        c[i * n + j] = sum + bias.get(j).copied().unwrap_or(0.0);
    }
    c
}

/// `grad b^T`.
pub fn grad_a(problem: &GemmProblem, b: &[f64], grad: &[f64]) -> Vec<f64> {
    let &GemmProblem { m, k, n, .. } = problem;
    let mut out = vec![0.0; m * k];
    for (i, l) in (0..m).flat_map(|i| (0..k).map(move |l| (i, l))) {
        out[i * k + l] = (0..n).map(|j| grad[i * n + j] * b[l * n + j]).sum();
    }
    out
}

/// `a^T grad`.
pub fn grad_b(problem: &GemmProblem, a: &[f64], grad: &[f64]) -> Vec<f64> {
    let &GemmProblem { m, k, n, .. } = problem;
    let mut out = vec![0.0; k * n];
    for (l, j) in (0..k).flat_map(|l| (0..n).map(move |j| (l, j))) {
        out[l * n + j] = (0..m).map(|i| a[i * k + l] * grad[i * n + j]).sum();
    }
    out
}

/// The sum of `grad` over its rows.
pub fn grad_bias(problem: &GemmProblem, grad: &[f64]) -> Vec<f64> {
    let &GemmProblem { m, n, .. } = problem;
    (0..n)
        .map(|j| (0..m).map(|i| grad[i * n + j]).sum())
        .collect()
}
