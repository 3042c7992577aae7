//! DKD and its gradient over `f64` slices, from the definition's two log-sum-exps per row and network.

use super::{DkdOptions, DkdProblem};
use crate::clamp::reference::largest;

/// The two parts of DKD for one sample, without any weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The divergence of target against rest.
    pub tckd: f64,
    /// The divergence among the other classes.
    pub nckd: f64,
}

/// A row of logits over the temperature, with its log-sum-exps.
struct Row {
    scaled: Vec<f64>,
    target: usize,
    /// Over all classes.
    all: f64,
    /// Over all classes but the target.
    others: f64,
}

impl Row {
    fn new(logits: &[f64], target: usize, temperature: f64) -> Self {
        let scaled: Vec<f64> = logits.iter().map(|z| z / temperature).collect();
        let others = log_sum_exp(
            scaled
                .iter()
                .enumerate()
                .filter(|&(j, _)| j != target)
                .map(|(_, &s)| s),
        );
        let all = log_sum_exp([scaled[target], others].into_iter());
        Self {
            scaled,
            target,
            all,
            others,
        }
    }

    fn log_target(&self) -> f64 {
        self.scaled[self.target] - self.all
    }

    fn log_rest(&self) -> f64 {
        self.others - self.all
    }

    /// The log-probability of class `j` among the classes other than the target.
    fn log_other(&self, j: usize) -> f64 {
        self.scaled[j] - self.others
    }
}

fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = largest(values.clone());
    max + values.map(|v| (v - max).exp()).sum::<f64>().ln()
}

/// TCKD and NCKD of one row.
pub fn terms(student: &[f64], teacher: &[f64], label: u32, temperature: f64) -> Terms {
    let target = label as usize;
    let (s, t) = (
        Row::new(student, target, temperature),
        Row::new(teacher, target, temperature),
    );
    let share = |log_q: f64, log_p: f64| log_q.exp() * (log_q - log_p);
    let others = (0..student.len()).filter(|&j| j != target);
    Terms {
        tckd: share(t.log_target(), s.log_target()) + share(t.log_rest(), s.log_rest()),
        nckd: others.map(|j| share(t.log_other(j), s.log_other(j))).sum(),
    }
}

/// Each sample's loss over the batch size, and the gradient `[n, c]` of their sum with respect to the student.
pub fn dkd(
    problem: &DkdProblem,
    student: &[f64],
    teacher: &[f64],
    labels: &[u32],
) -> (Vec<f64>, Vec<f64>) {
    let &DkdProblem {
        batch,
        classes,
        options,
        ..
    } = problem;
    let DkdOptions {
        alpha,
        beta,
        temperature,
        weight,
    } = options;
    let scale = weight * temperature / batch as f64;
    let (mut loss, mut grad) = (
        Vec::with_capacity(batch),
        Vec::with_capacity(batch * classes),
    );
    for (n, &label) in labels.iter().enumerate() {
        let (z, v) = (
            &student[n * classes..][..classes],
            &teacher[n * classes..][..classes],
        );
        let Terms { tckd, nckd } = terms(z, v, label, temperature);
        loss.push(scale * temperature * (alpha * tckd + beta * nckd));
        let target = label as usize;
        let (s, t) = (
            Row::new(z, target, temperature),
            Row::new(v, target, temperature),
        );
        let d = s.log_target().exp() - t.log_target().exp();
        grad.extend((0..classes).map(|j| {
            if j == target {
                return scale * alpha * d;
            }
            let (p, q) = (s.log_other(j).exp(), t.log_other(j).exp());
            scale * (beta * (p - q) - alpha * d * p)
        }));
    }
    (loss, grad)
}
