//! Rung 2: one launch for all of it. A unit owns a run of rows, and walks each four times: for the maxima, the sums, the loss, and the
//! gradient. What one launch of rung 1 wrote for the next is a number in a register here.
//!
//! **Predicted.** Two maps are read and one is written instead of some twenty passes over maps in seven launches; what a row needs again is
//! in the first-level cache. The exponentials are made again in each walk that needs them: six a class and a logarithm, where rung 1 makes four and
//! a logarithm. Where exponentials are what is waited for, that takes some of the gain away.

use super::{Arguments, Odds, Scales, exponential, loss_of, target_term};
use cubecl::prelude::*;
use ghostlight_kernels::launch as grids;

#[cube(launch_unchecked)]
fn fused(
    student: &[f32],
    teacher: &[f32],
    labels: &[u32],
    loss: &mut [f32],
    grad: &mut [f32],
    rows: usize,
    classes: usize,
    scales: Scales,
    run: usize,
) {
    let first = ABSOLUTE_POS * run;
    for row in first..min(first + run, rows) {
        let start = row * classes;
        let at = start + usize::cast_from(labels[row]);
        let mut student_top = student[start];
        let mut teacher_top = teacher[start];
        for i in start..start + classes {
            student_top = max(student_top, student[i]);
            teacher_top = max(teacher_top, teacher[i]);
        }
        let mut student_sum = 0.0f32;
        let mut teacher_sum = 0.0f32;
        for i in start..start + classes {
            if i != at {
                student_sum += exponential(student[i], student_top, &scales);
                teacher_sum += exponential(teacher[i], teacher_top, &scales);
            }
        }
        let p = Odds::of(exponential(student[at], student_top, &scales), student_sum);
        let q = Odds::of(exponential(teacher[at], teacher_top, &scales), teacher_sum);
        let mut nckd = 0.0f32;
        for i in start..start + classes {
            if i != at {
                let p_other = exponential(student[i], student_top, &scales) / student_sum;
                let q_other = exponential(teacher[i], teacher_top, &scales) / teacher_sum;
                nckd += q_other * (q_other / p_other).ln();
            }
        }
        loss[row] = loss_of(target_term(&p, &q), nckd, &scales);
        let target = scales.alpha * (p.label - q.label);
        for i in start..start + classes {
            let p_other = exponential(student[i], student_top, &scales) / student_sum;
            let q_other = exponential(teacher[i], teacher_top, &scales) / teacher_sum;
            let other = scales.beta * (p_other - q_other) - target * p_other;
            grad[i] = select(i == at, target, other);
        }
    }
}

pub(super) fn launch(it: &Arguments) {
    let (client, grid) = (it.student.client(), it.grid());
    let (count, dim, [student, teacher, loss, grad]) = (grid.count, grid.dim, it.buffers(1));
    let (labels, scales) = (it.labels.arg(), it.scales());
    let (rows, classes) = (it.rows(), it.classes());
    // SAFETY: all maps have the shape of the logits, of which there is a row for each label and loss; every label is a class.
    unsafe {
        fused::launch_unchecked(
            client, count, dim, student, teacher, labels, loss, grad, rows, classes, scales,
            grid.run,
        );
    }
    grids::throttle(client);
}
