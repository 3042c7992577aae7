//! Classical distillation and its gradient over `f64` slices.

use super::{KdOptions, KdProblem};
use crate::clamp::reference::largest;

/// `ln(softmax(logits / temperature))`.
fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let max = largest(logits.iter().copied()) / temperature;
    let sum: f64 = logits.iter().map(|z| (z / temperature - max).exp()).sum();
    let shift = max + sum.ln();
    logits.iter().map(|z| z / temperature - shift).collect()
}

/// Each sample's loss over the batch size, and the gradient `[n, c]` of their sum with respect to the student.
pub fn kd(problem: &KdProblem, student: &[f64], teacher: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let &KdProblem {
        batch,
        classes,
        options,
        ..
    } = problem;
    let KdOptions {
        temperature,
        weight,
    } = options;
    let scale = weight * temperature / batch as f64;
    let (mut loss, mut grad) = (Vec::new(), Vec::new());
    for (z, v) in student.chunks(classes).zip(teacher.chunks(classes)) {
        let (log_p, log_q) = (log_softmax(z, temperature), log_softmax(v, temperature));
        let pairs = || log_p.iter().zip(&log_q);
        let divergence: f64 = pairs().map(|(p, q)| q.exp() * (q - p)).sum();
        loss.push(scale * temperature * divergence);
        grad.extend(pairs().map(|(p, q)| scale * (p.exp() - q.exp())));
    }
    (loss, grad)
}
