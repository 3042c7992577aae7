//! Flip alignment and its gradient over `f64` slices, from the definition: the student's map is transformed, copy by copy.

use super::{FlipProblem, Normalisation, Selection, Transform};
use crate::clamp::reference::smallest;

/// What an alignment of one batch comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aligned {
    /// `[n]`: each sample's loss over `n`.
    pub loss: Vec<f64>,
    /// `[n, h, w, c]`: the gradient of their sum.
    pub grad: Vec<f64>,
    /// `[n, columns]`.
    pub distances: Vec<f64>,
    /// `[n, columns]`.
    pub weights: Vec<f64>,
    /// `[n]`.
    pub chosen: Vec<Transform>,
}

/// `g.map`, for a map `[h, w, c]`.
pub fn transformed(g: Transform, map: &[f64], [height, width]: [usize; 2]) -> Vec<f64> {
    let channels = map.len() / (height * width);
    let positions = (0..height).flat_map(|i| (0..width).map(move |j| [i, j]));
    positions
        .flat_map(|at| {
            let [i, j] = g.source(at, [height, width]);
            map[(i * width + j) * channels..][..channels].to_vec()
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Adds `factor add` to `sum`.
fn accumulate(sum: &mut [f64], factor: f64, add: &[f64]) {
    sum.iter_mut().zip(add).for_each(|(s, a)| *s += factor * a);
}

/// How many neighbouring elements share a norm; 0 for no norm.
fn group_of(problem: &FlipProblem) -> usize {
    match problem.options.normalisation {
        Normalisation::None => 0,
        Normalisation::Sample => problem.positions() * problem.channels,
        Normalisation::Position => problem.channels,
    }
}

/// The reciprocal of the norm of a part of a map; 0 for zeros.
fn inverse_norm(part: &[f64]) -> f64 {
    match dot(part, part).sqrt() {
        0.0 => 0.0,
        norm => 1.0 / norm,
    }
}

/// `nu(map)`, for parts of `group` elements.
pub fn normalised(map: &[f64], group: usize) -> Vec<f64> {
    if group == 0 {
        return map.to_vec();
    }
    let parts = map.chunks(group);
    parts
        .flat_map(|part| {
            let by = inverse_norm(part);
            part.iter().map(move |v| v * by)
        })
        .collect()
}

/// The gradient with respect to `map` of a function whose gradient with respect to `nu(map)` is `e`.
fn through_norm(map: &[f64], e: &[f64], group: usize) -> Vec<f64> {
    if group == 0 {
        return e.to_vec();
    }
    let parts = map.chunks(group).zip(e.chunks(group));
    parts
        .flat_map(|(part, e)| {
            let by = inverse_norm(part);
            let unit = normalised(part, group);
            let along = dot(&unit, e);
            let pairs = e.iter().zip(unit);
            pairs.map(|(e, u)| (e - u * along) * by).collect::<Vec<_>>()
        })
        .collect()
}

fn softmax(distances: &[f64], tau: f64) -> Vec<f64> {
    let least = smallest(distances.iter().copied());
    let powers: Vec<f64> = distances
        .iter()
        .map(|d| ((least - d) / tau).exp())
        .collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// Loss, gradient and what was chosen, for maps `[n, h, w, c]`.
pub fn flip_align(problem: &FlipProblem, student: &[f64], teacher: &[f64]) -> Aligned {
    let mut out = Aligned::default();
    let given = problem.options.group.given(problem.batch);
    let elements = problem.positions() * problem.channels;
    for n in 0..problem.batch {
        let a = &student[n * elements..][..elements];
        let t = &teacher[n * elements..][..elements];
        let choices = match (&given, problem.options.group.choices()) {
            (Some(given), _) => vec![given[n]],
            (None, choices) => choices.unwrap_or_default().to_vec(),
        };
        one_sample(problem, a, t, &choices, &mut out);
    }
    out
}

fn one_sample(
    problem: &FlipProblem,
    a: &[f64],
    t: &[f64],
    choices: &[Transform],
    out: &mut Aligned,
) {
    let (size, group) = ([problem.height, problem.width], group_of(problem));
    let (batch, divisor) = (problem.batch as f64, problem.divisor() as f64);
    let moved: Vec<Vec<f64>> = choices.iter().map(|&g| transformed(g, a, size)).collect();
    let rests: Vec<Vec<f64>> = moved
        .iter()
        .map(|ga| minus(&normalised(ga, group), &normalised(t, group)))
        .collect();
    let distances: Vec<f64> = rests.iter().map(|r| dot(r, r) / divisor).collect();
    let mut nearest = 0;
    for (g, d) in distances.iter().enumerate() {
        if *d < distances[nearest] || d.is_nan() {
            nearest = g;
        }
    }
    let weights = match problem.options.selection.tau() {
        Some(tau) => softmax(&distances, tau),
        None => (0..choices.len())
            .map(|g| f64::from(g == nearest))
            .collect(),
    };
    let mean = dot(&weights, &distances);
    let (loss, slopes) = match problem.options.selection {
        Selection::Hard => (distances[nearest], weights.clone()),
        Selection::SoftMin { tau } => {
            let least = distances[nearest];
            let sum: f64 = distances.iter().map(|d| ((least - d) / tau).exp()).sum();
            (
                least - tau * (sum / choices.len() as f64).ln(),
                weights.clone(),
            )
        }
        Selection::Attention { detached: true, .. } => (mean, weights.clone()),
        Selection::Attention { tau, .. } => {
            let slope = |(w, d): (&f64, &f64)| w * (1.0 - (d - mean) / tau);
            (mean, weights.iter().zip(&distances).map(slope).collect())
        }
        Selection::Mixed { tau } => {
            let mut rest: Vec<f64> = t.iter().map(|t| -t).collect();
            for (w, ga) in weights.iter().zip(&moved) {
                accumulate(&mut rest, *w, ga);
            }
            // The residual pulls on each copy; through the weights, it moves the distances.
            let e: Vec<f64> = rest.iter().map(|r| 2.0 * r / divisor).collect();
            let products: Vec<f64> = moved.iter().map(|ga| dot(&e, ga)).collect();
            let average = dot(&weights, &products);
            let mut grad = vec![0.0; a.len()];
            for (g, &w) in choices.iter().zip(&weights) {
                let back = transformed(g.inverse(), &e, size);
                accumulate(&mut grad, w / batch, &back);
            }
            let slopes: Vec<f64> = weights
                .iter()
                .zip(&products)
                .map(|(w, c)| -w / tau * (c - average))
                .collect();
            out.grad.extend(grad);
            (dot(&rest, &rest) / divisor, slopes)
        }
    };
    let mut grad = match problem.options.selection {
        Selection::Mixed { .. } => out.grad.split_off(out.grad.len() - a.len()),
        _ => vec![0.0; a.len()],
    };
    // Each distance is differentiated where it was taken, behind the transform, and its gradient moved back.
    for (g, &k) in slopes.iter().enumerate() {
        let e: Vec<f64> = rests[g]
            .iter()
            .map(|r| 2.0 * r / (batch * divisor))
            .collect();
        let at_copy = through_norm(&moved[g], &e, group);
        let back = transformed(choices[g].inverse(), &at_copy, size);
        accumulate(&mut grad, k, &back);
    }
    out.loss.push(loss / batch);
    out.grad.extend(grad);
    out.distances.extend(distances);
    out.weights.extend(weights);
    out.chosen.push(choices[nearest]);
}
