//! The dual-teacher loss and its gradient over `f64` slices, from log-softmaxes.

use super::{DualTeacherOptions, DualTeacherProblem};
use crate::clamp::reference::{larger, largest};

/// `ln softmax(row / temperature)`.
fn log_softmax(row: &[f64], temperature: f64) -> Vec<f64> {
    let max = largest(row.iter().copied());
    let shifted: Vec<f64> = row.iter().map(|z| (z - max) / temperature).collect();
    let log_sum = shifted.iter().map(|s| s.exp()).sum::<f64>().ln();
    shifted.iter().map(|s| s - log_sum).collect()
}

/// The mean over the rows of the largest entry of `softmax(v / T)`.
pub fn confidence(logits: &[f64], classes: usize, temperature: f64) -> f64 {
    let rows = logits.chunks(classes);
    let largest = rows.map(|row| largest(log_softmax(row, temperature)).exp());
    largest.sum::<f64>() / (logits.len() / classes) as f64
}

/// The weights `[alpha, beta]` of two teachers of the confidences `[c1, c2]`; NaN where one of those is.
pub fn weights([c1, c2]: [f64; 2], options: &DualTeacherOptions) -> [f64; 2] {
    let &DualTeacherOptions {
        low,
        high,
        minimum,
        even,
        lesser,
        greater,
        ..
    } = options;
    if c1.is_nan() || c2.is_nan() {
        [f64::NAN; 2]
    } else if c1 < low && c2 < low {
        [0.0, 0.0]
    } else if c1 < high && c2 < high {
        [c1, c2].map(|c| larger(even - (high - c), minimum))
    } else if c1 < high {
        [lesser, greater]
    } else if c2 < high {
        [greater, lesser]
    } else {
        [even, even]
    }
}

/// Each sample's loss over the batch size, and the gradient `[n, c]` of their sum, for teachers of the weights `[alpha, beta]`.
pub fn dual_teacher(
    problem: &DualTeacherProblem,
    student: &[f64],
    teachers: [&[f64]; 2],
    labels: &[u32],
    weights: [f64; 2],
) -> (Vec<f64>, Vec<f64>) {
    let &DualTeacherProblem {
        batch,
        classes,
        options,
        ..
    } = problem;
    let (t, mean) = (options.temperature, 1.0 / batch as f64);
    let soft = (weights[0] + weights[1]) / 2.0;
    let (mut loss, mut grad) = (vec![0.0; batch], vec![0.0; batch * classes]);
    for n in 0..batch {
        let row = n * classes..(n + 1) * classes;
        let label = labels[n] as usize;
        let log_hard = log_softmax(&student[row.clone()], 1.0);
        let log_p = log_softmax(&student[row.clone()], t);
        loss[n] -= mean * (1.0 - soft) * log_hard[label];
        for j in 0..classes {
            let hit = if j == label { 1.0 } else { 0.0 };
            grad[n * classes + j] += mean * (1.0 - soft) * (log_hard[j].exp() - hit);
        }
        for (teacher, weight) in teachers.iter().zip(weights) {
            let log_q = log_softmax(&teacher[row.clone()], t);
            for j in 0..classes {
                let (p, q) = (log_p[j].exp(), log_q[j].exp());
                loss[n] += mean * soft * t * t * weight * q * (log_q[j] - log_p[j]);
                grad[n * classes + j] += mean * soft * t * weight * (p - q);
            }
        }
    }
    (loss, grad)
}
