//! Rung 5: the exponentials are made once. The walk that sums them up writes them down, the student's where its gradient will be, the
//! teacher's in a row of the unit's own; the walk that makes the gradient reads them. What is kept must be of the last maximum, so the walk for
//! maxima comes back: rung 3 was a detour that a rung 4 could be made from.
//!
//! **Predicted.** Two exponentials a class instead of four, for a walk without any and a store and a load: up to twice as fast.

use super::{Arguments, Odds, Scales, exponential, loss_of, target_term};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

/// `kept` has a row for each unit.
#[cube(launch_unchecked)]
fn kept(
    student: &[f32],
    teacher: &[f32],
    labels: &[u32],
    loss: &mut [f32],
    grad: &mut [f32],
    kept: &mut [f32],
    rows: usize,
    classes: usize,
    scales: Scales,
    run: usize,
) {
    let first = ABSOLUTE_POS * run;
    let own = ABSOLUTE_POS * classes;
    for row in first..min(first + run, rows) {
        let (start, label) = (row * classes, usize::cast_from(labels[row]));
        let mut student_top = student[start];
        let mut teacher_top = teacher[start];
        for i in start..start + classes {
            student_top = max(student_top, student[i]);
            teacher_top = max(teacher_top, teacher[i]);
        }
        let mut student_sum = 0.0f32;
        let mut teacher_sum = 0.0f32;
        let mut weighted = 0.0f32;
        for j in 0..classes {
            let (z, v) = (student[start + j], teacher[start + j]);
            let s = exponential(z, student_top, &scales);
            let t = exponential(v, teacher_top, &scales);
            grad[start + j] = s;
            kept[own + j] = t;
            if j != label {
                student_sum += s;
                teacher_sum += t;
                weighted += t * (v - z);
            }
        }
        let p = Odds::of(grad[start + label], student_sum);
        let q = Odds::of(kept[own + label], teacher_sum);
        let distance = weighted / teacher_sum - (teacher_top - student_top);
        let nckd = distance * scales.inverse_t - (teacher_sum / student_sum).ln();
        loss[row] = loss_of(target_term(&p, &q), nckd, &scales);
        let target = scales.alpha * (p.label - q.label);
        let by_student = (scales.beta - target) / student_sum;
        let by_teacher = scales.beta / teacher_sum;
        for j in 0..classes {
            grad[start + j] = grad[start + j] * by_student - kept[own + j] * by_teacher;
        }
        grad[start + label] = target;
    }
}

pub(super) fn launch(it: &Arguments) {
    let (client, grid) = (it.student.client(), it.grid());
    let (count, dim, [student, teacher, loss, grad]) = (grid.count, grid.dim, it.buffers(1));
    let (labels, classes, scales) = (it.labels.arg(), it.classes(), it.scales());
    let kept = Tensor::empty(client, &[grid.units, classes], it.student.dtype());
    let (rows, own) = (it.rows(), kept.arg(1));
    // SAFETY: all maps have the shape of the logits, of which there is a row for each label and loss; every label is a class, and every
    // unit has a row to keep.
    unsafe {
        kept::launch_unchecked(
            client, count, dim, student, teacher, labels, loss, grad, own, rows, classes, scales,
            grid.run,
        );
    }
    grids::throttle(client);
}
