//! Rung 4: algebra. `ln q^_j - ln p^_j` is the networks' distance at `j` less a number that is the row's: so NCKD is a weighted sum of
//! distances, which goes along with the walk of rung 3, less the difference of two logarithms of sums.
//!
//! **Predicted.** A walk, two exponentials and a logarithm a class less: four exponentials a class are left of rung 3's six, and no logarithm.
//!
//! **What it costs.** Digits: the divergence is now the difference of numbers that are larger than itself, by more the nearer the student is
//! to its teacher. The bench draws networks that differ, so its column of errors does not show it; a student at the end of its training
//! would. The project's operation sums up `q (exp(r) - 1 - r)` instead, whose terms are never below 0.

use super::{Arguments, Odds, Scales, exponential, loss_of, target_term};
use cubecl::prelude::*;
use ghostlight_kernels::launch as grids;

/// The largest logit so far, the sum of the exponentials of all logits' distances to it, and the sum of these times a distance of the networks.
#[derive(CubeType, Clone, Copy)]
struct Running {
    top: f32,
    sum: f32,
    weighted: f32,
}

#[cube]
impl Running {
    fn of_none() -> Running {
        Running {
            top: f32::min_value(),
            sum: 0.0f32,
            weighted: 0.0f32,
        }
    }

    fn add(&mut self, logit: f32, distance: f32, scales: &Scales) {
        if logit > self.top {
            let less = exponential(self.top, logit, scales);
            self.sum = self.sum * less + 1.0f32;
            self.weighted = self.weighted * less + distance;
            self.top = logit;
        } else {
            let e = exponential(logit, self.top, scales);
            self.sum += e;
            self.weighted += e * distance;
        }
    }
}

#[cube(launch_unchecked)]
fn sums(
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
                s.add(student[i], 0.0f32, &scales);
                t.add(teacher[i], teacher[i] - student[i], &scales);
            }
        }
        let p = Odds::of(exponential(student[at], s.top, &scales), s.sum);
        let q = Odds::of(exponential(teacher[at], t.top, &scales), t.sum);
        let distance = t.weighted / t.sum - (t.top - s.top);
        let nckd = distance * scales.inverse_t - (t.sum / s.sum).ln();
        loss[row] = loss_of(target_term(&p, &q), nckd, &scales);
        let target = scales.alpha * (p.label - q.label);
        let own = (scales.beta - target) / s.sum;
        let taught = scales.beta / t.sum;
        for i in start..start + classes {
            let e = exponential(student[i], s.top, &scales);
            let other = e * own - exponential(teacher[i], t.top, &scales) * taught;
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
        sums::launch_unchecked(
            client, count, dim, student, teacher, labels, loss, grad, rows, classes, scales,
            grid.run,
        );
    }
    grids::throttle(client);
}
