//! A sum of losses over `f64` slices: each term's own reference times its factor, and the sum of their gradients.

use super::{DistillProblem, Mixed};
use crate::loss::cosine::{CosineProblem, reference as cosine};
use crate::loss::cross_entropy::{CrossEntropyProblem, reference as cross_entropy};
use crate::loss::dkd::{DkdProblem, reference as dkd};
use crate::loss::kd::{KdProblem, reference as kd};

/// The losses `[terms, n]`, in the order of the options, and the gradient `[n, c]` of their sum with respect to the student.
///
/// `mixed` are the second classes, of which there are none where the cross-entropy has none; `factors` are `[n, 1 + teachers]`,
/// `[1 + teachers]`, or none.
pub fn distill(
    problem: &DistillProblem,
    student: &[f64],
    teachers: &[&[f64]],
    labels: &[u32],
    mixed: &[u32],
    factors: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let &DistillProblem {
        batch,
        classes,
        ref options,
        dtype,
        ..
    } = problem;
    // Each term's losses and gradient, and the place of its factor.
    let mut terms = Vec::new();
    if let Some(term) = &options.cross_entropy {
        let problem = CrossEntropyProblem {
            batch,
            classes,
            smoothing: term.smoothing,
            dtype,
        };
        let (mut loss, mut grad) = cross_entropy::cross_entropy(&problem, student, labels);
        if let Some(Mixed { share, .. }) = term.mixed {
            let of_second = cross_entropy::cross_entropy(&problem, student, mixed);
            let second = of_second.0.into_iter().chain(of_second.1);
            for (value, second) in loss.iter_mut().chain(&mut grad).zip(second) {
                *value = (1.0 - share) * *value + share * second;
            }
        }
        for value in loss.iter_mut().chain(&mut grad) {
            *value *= term.weight;
        }
        terms.push((0, loss, grad));
    }
    for (i, (of_teacher, teacher)) in options.teachers.iter().zip(teachers).enumerate() {
        let mut add = |(loss, grad)| terms.push((1 + i, loss, grad));
        if let Some(options) = of_teacher.kd {
            let problem = KdProblem {
                batch,
                classes,
                options,
                dtype,
            };
            add(kd::kd(&problem, student, teacher));
        }
        if let Some(options) = of_teacher.dkd {
            let problem = DkdProblem {
                batch,
                classes,
                options,
                dtype,
            };
            add(dkd::dkd(&problem, student, teacher, labels));
        }
        if let Some(options) = of_teacher.cosine {
            let problem = CosineProblem {
                batch,
                length: classes,
                options,
                dtype,
            };
            add(cosine::cosine(&problem, student, teacher));
        }
    }
    let width = 1 + teachers.len();
    let factor = |n: usize, place: usize| match factors.len() {
        0 => 1.0,
        shared if shared == width => factors[place],
        _ => factors[n * width + place],
    };
    let (mut losses, mut sum) = (Vec::new(), vec![0.0; batch * classes]);
    for (place, loss, grad) in terms {
        let scaled = loss.iter().enumerate().map(|(n, l)| factor(n, place) * l);
        losses.extend(scaled);
        for (i, value) in grad.iter().enumerate() {
            sum[i] += factor(i / classes, place) * value;
        }
    }
    (losses, sum)
}
