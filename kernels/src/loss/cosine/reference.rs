//! The cosine loss and its gradient over `f64` slices, by the definition and the chain rule.

use super::{Comparison, CosineProblem};
use crate::clamp::reference::{larger, largest};

/// The vector that is compared: a row, a row less its mean, or a row's softmax.
pub fn compared(row: &[f64], between: Comparison) -> Vec<f64> {
    match between {
        Comparison::Rows => row.to_vec(),
        Comparison::CentredRows => {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            row.iter().map(|x| x - mean).collect()
        }
        Comparison::Softmaxes(temperature) => {
            let max = largest(row.iter().copied());
            let e: Vec<f64> = row
                .iter()
                .map(|x| ((x - max) / temperature).exp())
                .collect();
            let sum: f64 = e.iter().sum();
            e.iter().map(|e| e / sum).collect()
        }
    }
}

/// Each sample's loss over the batch size, and the gradient of their sum with respect to the student.
pub fn cosine(problem: &CosineProblem, student: &[f64], teacher: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let &CosineProblem {
        batch,
        length,
        options,
        ..
    } = problem;
    let epsilon = match options.between {
        Comparison::Softmaxes(_) => 0.0,
        _ => options.epsilon,
    };
    let mean = options.weight / batch as f64;
    let (mut loss, mut grad) = (Vec::new(), Vec::new());
    for (student, teacher) in student.chunks(length).zip(teacher.chunks(length)) {
        let u = compared(student, options.between);
        let w = compared(teacher, options.between);
        let (u_norm, w_norm) = (dot(&u, &u).sqrt(), dot(&w, &w).sqrt());
        let (u_divisor, w_divisor) = (larger(u_norm, epsilon), larger(w_norm, epsilon));
        let cos = dot(&u, &w) / (u_divisor * w_divisor);
        loss.push((1.0 - cos) * mean);
        let by_vector: Vec<f64> = (u.iter().zip(&w))
            .map(|(u, w)| {
                let towards = w / w_divisor;
                // A length below epsilon is not what the vector is divided by, and has no derivative.
                let along = if u_norm < epsilon {
                    0.0
                } else {
                    cos * u / u_divisor
                };
                -(towards - along) * mean / u_divisor
            })
            .collect();
        grad.extend(by_row(&u, by_vector, options.between));
    }
    (loss, grad)
}

/// The gradient with respect to the row, from the one with respect to the compared vector.
fn by_row(vector: &[f64], gradient: Vec<f64>, between: Comparison) -> Vec<f64> {
    match between {
        Comparison::Rows => gradient,
        Comparison::CentredRows => {
            let mean = gradient.iter().sum::<f64>() / gradient.len() as f64;
            gradient.iter().map(|g| g - mean).collect()
        }
        Comparison::Softmaxes(temperature) => {
            let inner = dot(vector, &gradient);
            let pairs = vector.iter().zip(gradient);
            pairs.map(|(p, g)| p * (g - inner) / temperature).collect()
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
