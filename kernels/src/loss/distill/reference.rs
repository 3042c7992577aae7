//! A sum of losses over `f64` slices: each term's own reference, and the sum of their gradients.

use super::DistillProblem;
use crate::loss::cross_entropy::{CrossEntropyProblem, reference as cross_entropy};
use crate::loss::dkd::{DkdProblem, reference as dkd};
use crate::loss::kd::{KdProblem, reference as kd};

/// The losses `[terms, n]`, in the order of the options, and the gradient `[n, c]` of their sum with respect to the student.
pub fn distill(
    problem: &DistillProblem,
    student: &[f64],
    teacher: &[f64],
    labels: &[u32],
) -> (Vec<f64>, Vec<f64>) {
    let &DistillProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let mut terms = Vec::new();
    if let Some(term) = options.cross_entropy {
        let problem = CrossEntropyProblem {
            batch,
            classes,
            smoothing: term.smoothing,
            dtype,
        };
        let (mut loss, mut grad) = cross_entropy::cross_entropy(&problem, student, labels);
        for value in loss.iter_mut().chain(&mut grad) {
            *value *= term.weight;
        }
        terms.push((loss, grad));
    }
    if let Some(options) = options.kd {
        let problem = KdProblem {
            batch,
            classes,
            options,
            dtype,
        };
        terms.push(kd::kd(&problem, student, teacher));
    }
    if let Some(options) = options.dkd {
        let problem = DkdProblem {
            batch,
            classes,
            options,
            dtype,
        };
        terms.push(dkd::dkd(&problem, student, teacher, labels));
    }
    let (mut losses, mut sum) = (Vec::new(), vec![0.0; batch * classes]);
    for (loss, grad) in terms {
        losses.extend(loss);
        for (sum, value) in sum.iter_mut().zip(grad) {
            *sum += value;
        }
    }
    (losses, sum)
}
