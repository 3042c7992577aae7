//! Confidences, weights and factors over `f64` slices, from log-softmaxes.

use super::{DualTeacherOptions, DualTeacherProblem, Rule, Scope, Thresholds};
use crate::clamp::reference::{larger, largest};

/// The mean over the rows of the largest entry of `softmax(v / T)`.
pub fn confidence(logits: &[f64], classes: usize, temperature: f64) -> f64 {
    let of_row = |row: &[f64]| {
        let max = largest(row.iter().copied());
        let e = row.iter().map(|z| ((z - max) / temperature).exp());
        1.0 / e.sum::<f64>()
    };
    let rows = logits.chunks(classes);
    rows.map(of_row).sum::<f64>() / (logits.len() / classes) as f64
}

/// The weights `[alpha, beta]` of two teachers of the confidences `[c1, c2]`; NaN where one of those is.
pub fn weights([c1, c2]: [f64; 2], options: &DualTeacherOptions) -> [f64; 2] {
    let Rule::Thresholds(thresholds) = options.rule else {
        return [c1 / (c1 + c2), c2 / (c1 + c2)];
    };
    let Thresholds {
        low,
        high,
        minimum,
        even,
        lesser,
        greater,
    } = thresholds;
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

/// What the weights `[alpha, beta]` multiply the cross-entropy and each teacher's terms by.
pub fn factors([alpha, beta]: [f64; 2]) -> [f64; 3] {
    let soft = (alpha + beta) / 2.0;
    [1.0 - soft, soft * alpha, soft * beta]
}

/// The weights `c1, c2, alpha, beta` and the factors, of the batch or of each sample.
pub fn weigh(problem: &DualTeacherProblem, first: &[f64], second: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let &DualTeacherProblem {
        batch,
        classes,
        options,
        ..
    } = problem;
    let rows = match options.scope {
        Scope::Batch => batch,
        Scope::Sample => 1,
    };
    let together = |logits: &'_ [f64]| {
        let parts = logits.chunks(rows * classes);
        parts
            .map(|part| confidence(part, classes, options.temperature))
            .collect::<Vec<_>>()
    };
    let (mut all_weights, mut all_factors) = (Vec::new(), Vec::new());
    for (c1, c2) in together(first).into_iter().zip(together(second)) {
        let chosen = weights([c1, c2], &options);
        all_weights.extend([c1, c2].into_iter().chain(chosen));
        all_factors.extend(factors(chosen));
    }
    (all_weights, all_factors)
}
