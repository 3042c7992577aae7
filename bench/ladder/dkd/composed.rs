//! Rung 1: the formulas, one launch each, as a library of tensor operations has them: two softmaxes over all classes, two over all but the
//! label, the terms of the loss, their sum, the gradient.
//!
//! **What is slow about it.** Five maps of the logits' size are written and read again, where two would have to be read and one written; at
//! each launch all units wait for the last of them.

use super::{Arguments, Scales, loss_of};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

/// The softmax of each row over the temperature, over all classes or, where it is wanted, over all but the label.
#[cube(launch_unchecked)]
fn softmax(
    x: &[f32],
    labels: &[u32],
    y: &mut [f32],
    rows: usize,
    classes: usize,
    scales: Scales,
    run: usize,
    #[comptime] others: bool,
) {
    let first = ABSOLUTE_POS * run;
    for row in first..min(first + run, rows) {
        let start = row * classes;
        let mut left_out = classes;
        if comptime!(others) {
            left_out = usize::cast_from(labels[row]);
        }
        let mut top = f32::min_value();
        for j in 0..classes {
            if j != left_out {
                top = max(top, x[start + j]);
            }
        }
        let mut sum = 0.0f32;
        for j in 0..classes {
            let e = ((x[start + j] - top) * scales.inverse_t).exp();
            let counted = select(j == left_out, 0.0f32, e);
            y[start + j] = counted;
            sum += counted;
        }
        for j in 0..classes {
            y[start + j] /= sum;
        }
    }
}

/// What each class adds to the loss.
#[cube(launch_unchecked)]
fn terms(
    p: &[f32],
    q: &[f32],
    p_others: &[f32],
    q_others: &[f32],
    labels: &[u32],
    terms: &mut [f32],
    rows: usize,
    classes: usize,
    scales: Scales,
    run: usize,
) {
    let first = ABSOLUTE_POS * run;
    for i in first..min(first + run, rows * classes) {
        if i % classes == usize::cast_from(labels[i / classes]) {
            let rest = (1.0f32 - q[i]) * ((1.0f32 - q[i]) / (1.0f32 - p[i])).ln();
            terms[i] = loss_of(q[i] * (q[i] / p[i]).ln() + rest, 0.0f32, &scales);
        } else {
            let nckd = q_others[i] * (q_others[i] / p_others[i]).ln();
            terms[i] = loss_of(0.0f32, nckd, &scales);
        }
    }
}

/// The sum of each row.
#[cube(launch_unchecked)]
fn row_sums(terms: &[f32], loss: &mut [f32], rows: usize, classes: usize, run: usize) {
    let first = ABSOLUTE_POS * run;
    for row in first..min(first + run, rows) {
        let mut sum = 0.0f32;
        for j in 0..classes {
            sum += terms[row * classes + j];
        }
        loss[row] = sum;
    }
}

#[cube(launch_unchecked)]
fn gradient(
    p: &[f32],
    q: &[f32],
    p_others: &[f32],
    q_others: &[f32],
    labels: &[u32],
    grad: &mut [f32],
    rows: usize,
    classes: usize,
    scales: Scales,
    run: usize,
) {
    let first = ABSOLUTE_POS * run;
    for i in first..min(first + run, rows * classes) {
        let row = i / classes;
        let label = usize::cast_from(labels[row]);
        let at = row * classes + label;
        let target = scales.alpha * (p[at] - q[at]);
        let apart = p_others[i] - q_others[i];
        let other = scales.beta * apart - target * p_others[i];
        grad[i] = select(i == at, target, other);
    }
}

pub(super) fn launch(it: &Arguments) {
    let (client, rows, classes) = (it.student.client(), it.rows(), it.classes());
    let made = || Tensor::empty(client, it.student.shape(), it.student.dtype());
    let probabilities = |x: &Tensor, others: bool| {
        let (y, grid) = (made(), it.grid());
        let [from, to] = [x, &y].map(|tensor| tensor.arg(1));
        // SAFETY: both maps have a row for each label, and every label is a class.
        unsafe {
            let (count, dim, labels) = (grid.count, grid.dim, it.labels.arg());
            let scales = it.scales();
            softmax::launch_unchecked(
                client, count, dim, from, labels, to, rows, classes, scales, grid.run, others,
            );
        }
        grids::throttle(client);
        y
    };
    let [p, q] = [it.student, it.teacher].map(|x| probabilities(x, false));
    let [p_others, q_others] = [it.student, it.teacher].map(|x| probabilities(x, true));
    let read = || [&p, &q, &p_others, &q_others].map(|map| map.arg(1));
    let each = made();
    // SAFETY: all maps have the shape of the logits, of which there is a row for each label and loss; every label is a class.
    unsafe {
        let (grid, labels, [p, q, r, s]) = (elements(it), it.labels.arg(), read());
        let (count, dim, to, scales) = (grid.count, grid.dim, each.arg(1), it.scales());
        terms::launch_unchecked(
            client, count, dim, p, q, r, s, labels, to, rows, classes, scales, grid.run,
        );
        grids::throttle(client);
        let (grid, from, to) = (it.grid(), each.arg(1), it.loss.arg(1));
        row_sums::launch_unchecked(
            client, grid.count, grid.dim, from, to, rows, classes, grid.run,
        );
        grids::throttle(client);
        let (grid, labels, [p, q, r, s]) = (elements(it), it.labels.arg(), read());
        let (count, dim, to, scales) = (grid.count, grid.dim, it.grad.arg(1), it.scales());
        gradient::launch_unchecked(
            client, count, dim, p, q, r, s, labels, to, rows, classes, scales, grid.run,
        );
        grids::throttle(client);
    }
}

/// A run of elements for each unit.
fn elements(it: &Arguments) -> grids::Grid {
    grids::grid(it.student.client(), it.grad.len())
}
