//! Rung 6: a vector of classes at a time. The walks are those of rung 5; the maxima and sums are a vector's, whose lanes come together at
//! the end of a row.
//!
//! **Predicted.** A core of a CPU makes 16 exponentials at once where AVX-512 is; what is left of the time is the row's own: lanes that come
//! together, two logarithms and some divisions, which do not become fewer with the width. So a row of 1,000 classes gains more than one of 100.
//!
//! **What it costs.** The width has to divide the classes: 100 go in vectors of 4, 1,000 in vectors of 8, an odd number one by one.

use super::{Arguments, Odds, Scales, loss_of, target_term};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

/// `length` is that of a row, in vectors; `kept` has a row for each unit.
#[cube(launch_unchecked)]
fn vectors<N: Size>(
    student: &[Vector<f32, N>],
    teacher: &[Vector<f32, N>],
    labels: &[u32],
    loss: &mut [f32],
    grad: &mut [Vector<f32, N>],
    kept: &mut [Vector<f32, N>],
    rows: usize,
    length: usize,
    scales: Scales,
    run: usize,
) {
    let zero = Vector::<f32, N>::new(0.0f32);
    let rate = Vector::<f32, N>::new(scales.inverse_t);
    let (first, own) = (ABSOLUTE_POS * run, ABSOLUTE_POS * length);
    for row in first..min(first + run, rows) {
        let (start, label) = (row * length, labels[row]);
        let student_top = largest::<N>(student, start, length);
        let teacher_top = largest::<N>(teacher, start, length);
        let mut student_sum = zero;
        let mut teacher_sum = zero;
        let mut weighted = zero;
        for i in 0..length {
            let (z, v) = (student[start + i], teacher[start + i]);
            let s = ((z - Vector::new(student_top)) * rate).exp();
            let t = ((v - Vector::new(teacher_top)) * rate).exp();
            grad[start + i] = s;
            kept[own + i] = t;
            let is_label = is_class::<N>(i, label);
            student_sum += select_many(is_label, zero, s);
            teacher_sum += select_many(is_label, zero, t);
            weighted += select_many(is_label, zero, t * (v - z));
        }
        let (student_sum, teacher_sum) = (student_sum.vector_sum(), teacher_sum.vector_sum());
        let (item, lane) = (
            usize::cast_from(label) / N::value(),
            usize::cast_from(label) % N::value(),
        );
        let p = Odds::of(grad[start + item].extract_dynamic(lane), student_sum);
        let q = Odds::of(kept[own + item].extract_dynamic(lane), teacher_sum);
        let distance = weighted.vector_sum() / teacher_sum - (teacher_top - student_top);
        let nckd = distance * scales.inverse_t - (teacher_sum / student_sum).ln();
        loss[row] = loss_of(target_term(&p, &q), nckd, &scales);
        let target = scales.alpha * (p.label - q.label);
        let by_student = Vector::<f32, N>::new((scales.beta - target) / student_sum);
        let by_teacher = Vector::<f32, N>::new(scales.beta / teacher_sum);
        for i in 0..length {
            let other = grad[start + i] * by_student - kept[own + i] * by_teacher;
            grad[start + i] = select_many(is_class::<N>(i, label), Vector::new(target), other);
        }
    }
}

/// The largest logit of the row that starts at vector `start`.
#[cube]
fn largest<N: Size>(x: &[Vector<f32, N>], start: usize, length: usize) -> f32 {
    let mut tops = x[start];
    for i in start..start + length {
        tops = max(tops, x[i]);
    }
    let mut top = tops.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        top = max(top, tops.extract(lane));
    }
    top
}

/// Whether each lane of the `i`-th vector of a row is `class`.
#[cube]
fn is_class<N: Size>(i: usize, class: u32) -> Vector<bool, N> {
    let mut classes = Vector::<u32, N>::new(0u32);
    #[unroll]
    for lane in 0..N::value() {
        classes.insert(lane, u32::cast_from(i * N::value() + lane));
    }
    classes.equal(&Vector::new(class))
}

pub(super) fn launch(it: &Arguments) {
    let width = grids::width(it.student.client(), it.student.dtype(), it.classes());
    let (client, grid, length) = (it.student.client(), it.grid(), it.classes() / width);
    let (count, dim, [student, teacher, loss, grad]) = (grid.count, grid.dim, it.buffers(width));
    let (labels, scales) = (it.labels.arg(), it.scales());
    let kept = Tensor::empty(client, &[grid.units, it.classes()], it.student.dtype());
    let (rows, own) = (it.rows(), kept.arg(width));
    // SAFETY: all maps have the shape of the logits, of which there is a row for each label and loss; every label is a class, and every
    // unit has a row to keep.
    unsafe {
        vectors::launch_unchecked(
            client, count, dim, width, student, teacher, labels, loss, grad, own, rows, length,
            scales, grid.run,
        );
    }
    grids::throttle(client);
}
