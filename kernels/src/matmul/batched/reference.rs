//! Products of many matrices over `f64` slices.

use super::{BatchedOptions, BatchedProblem, Form};

/// `alpha a b + plus` for each sample and head, `[s, heads, m, n]`, of operands whose heads are an axis; an empty `plus` counts as zeros.
pub fn forward(problem: &BatchedProblem, a: &[f64], b: &[f64], plus: &[f64]) -> Vec<f64> {
    let &BatchedProblem { m, k, n, .. } = problem;
    let BatchedOptions { heads, form, alpha } = problem.options;
    let mut out = Vec::with_capacity(problem.count() * m * n);
    for matrix in 0..problem.count() {
        let (a, b) = (&a[matrix * m * k..], &b[matrix * k * n..]);
        let a = |i: usize, l: usize| match form {
            Form::TransposedA => a[l * m + i],
            _ => a[i * k + l],
        };
        let b = |l: usize, j: usize| match form {
            Form::TransposedB => b[j * k + l],
            _ => b[l * n + j],
        };
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let sum: f64 = (0..k).map(|l| a(i, l) * b(l, j)).sum();
            let added = plus.get((matrix % heads * m + i) * n + j);
            out.push(alpha * sum + added.copied().unwrap_or(0.0));
        }
    }
    out
}
