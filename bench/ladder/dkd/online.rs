//! Rung 3: one walk for maximum and sum. Where a logit is larger than all before it, what was summed up so far is made good by the
//! exponential of the distance.
//!
//! **Predicted.** A walk over the row less, and hardly an exponential more: of `c` logits in no particular order some `ln c` are larger than all
//! before them. Where a row comes from memory each time, as one of 100,000 classes does, a quarter of the reading is gone. Where it is in a
//! first-level cache, a walk for maxima is cheap, and a question for each logit, which no vector can ask, is not: little is won.

use super::{Arguments, Odds, Scales, exponential, loss_of, target_term};
use cubecl::prelude::*;
use ghostlight_kernels::launch as grids;

/// The largest logit so far, and the sum of the exponentials of all logits' distances to it.
#[derive(CubeType, Clone, Copy)]
struct Running {
    top: f32,
    sum: f32,
}

#[cube]
impl Running {
    fn of_none() -> Running {
        Running {
            top: f32::min_value(),
            sum: 0.0f32,
        }
    }

    fn add(&mut self, logit: f32, scales: &Scales) {
        if logit > self.top {
            self.sum = self.sum * exponential(self.top, logit, scales) + 1.0f32;
            self.top = logit;
        } else {
            self.sum += exponential(logit, self.top, scales);
        }
    }
}

#[cube(launch_unchecked)]
fn online(
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
        let mut s = Running::of_none();
        let mut t = Running::of_none();
        for i in start..start + classes {
            if i != at {
                s.add(student[i], &scales);
                t.add(teacher[i], &scales);
            }
        }
        let p = Odds::of(exponential(student[at], s.top, &scales), s.sum);
        let q = Odds::of(exponential(teacher[at], t.top, &scales), t.sum);
        let mut nckd = 0.0f32;
        for i in start..start + classes {
            if i != at {
                let p_other = exponential(student[i], s.top, &scales) / s.sum;
                let q_other = exponential(teacher[i], t.top, &scales) / t.sum;
                nckd += q_other * (q_other / p_other).ln();
            }
        }
        loss[row] = loss_of(target_term(&p, &q), nckd, &scales);
        let target = scales.alpha * (p.label - q.label);
        for i in start..start + classes {
            let p_other = exponential(student[i], s.top, &scales) / s.sum;
            let q_other = exponential(teacher[i], t.top, &scales) / t.sum;
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
        online::launch_unchecked(
            client, count, dim, student, teacher, labels, loss, grad, rows, classes, scales,
            grid.run,
        );
    }
    grids::throttle(client);
}
