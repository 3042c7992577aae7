//! Cross-entropy and its gradient over `f64` slices.

use super::CrossEntropyProblem;
use crate::clamp::reference::largest;

/// Each sample's loss over the batch size, and the gradient `[n, c]` of their sum.
pub fn cross_entropy(
    problem: &CrossEntropyProblem,
    logits: &[f64],
    labels: &[u32],
) -> (Vec<f64>, Vec<f64>) {
    let &CrossEntropyProblem {
        batch,
        classes,
        smoothing,
        ..
    } = problem;
    let (mut loss, mut grad) = (vec![0.0; batch], vec![0.0; batch * classes]);
    for n in 0..batch {
        let row = &logits[n * classes..][..classes];
        let max = largest(row.iter().copied());
        let log_sum_exp = max + row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        for (j, z) in row.iter().enumerate() {
            let hit = if j == labels[n] as usize { 1.0 } else { 0.0 };
            let wanted = (1.0 - smoothing) * hit + smoothing / classes as f64;
            let log_p = z - log_sum_exp;
            loss[n] -= wanted * log_p / batch as f64;
            grad[n * classes + j] = (log_p.exp() - wanted) / batch as f64;
        }
    }
    (loss, grad)
}
