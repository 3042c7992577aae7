//! Any weighted sum of cross-entropy, classical and decoupled distillation, and its gradient, from one read of the logits.
//!
//! (design note to come)

pub mod cost;
mod decay;
mod fused;
mod problem;
pub mod reference;
mod sweeps;
mod terms;

pub use problem::{CrossEntropyOptions, DistillOptions, DistillProblem};

use super::LossAndGrad;
use crate::pointwise::add_at;
use crate::{Cost, KernelError, Labels, Tensor};

/// What [`distill`] leaves behind.
#[derive(Debug, Clone)]
pub struct Distilled {
    /// `[terms, n]`: each sample's terms, weighted and over `n`, so that the sum of a row is that term's mean over the batch and the
    /// sum of all is the loss. The rows are the terms that were asked for, in the order of [`DistillOptions`].
    pub losses: Tensor,
    /// `[n, c]`: the gradient of the loss with respect to the student's logits.
    pub grad: Tensor,
    options: DistillOptions,
}

impl Distilled {
    /// The cross-entropy's `[n]`, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn cross_entropy(&self) -> Option<Tensor> {
        self.options.cross_entropy.and_then(|_| self.row(0))
    }

    /// Classical distillation's `[n]`, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn kd(&self) -> Option<Tensor> {
        let row = usize::from(self.options.cross_entropy.is_some());
        self.options.kd.and_then(|_| self.row(row))
    }

    /// Decoupled distillation's `[n]`, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn dkd(&self) -> Option<Tensor> {
        self.options
            .dkd
            .and_then(|_| self.row(self.options.terms() - 1))
    }

    fn row(&self, row: usize) -> Option<Tensor> {
        let batch = self.losses.shape()[1];
        match self.losses.slice(row * batch, &[batch]) {
            // Where slices must be aligned, the row is cut out as a window.
            Err(KernelError::Range { .. }) => {
                let flat = self.losses.reshape(&[1, self.losses.len()]).ok()?;
                let row = flat.window(row * batch, batch).ok()?;
                add_at(None, &row, 0, batch).ok()?.reshape(&[batch]).ok()
            }
            found => found.ok(),
        }
    }
}

impl DistillProblem {
    /// The cost of losses and gradient; see [`cost::fused`].
    pub fn cost(&self) -> Cost {
        cost::fused(self)
    }
}

/// The terms that `options` names, and the gradient of their sum with respect to `student` `[n, c]`. `teacher` `[n, c]` is wanted by
/// the terms that distil and `labels` by all but classical distillation. One launch; none for an empty batch.
///
/// # Errors
/// Those of [`DistillProblem::new`].
pub fn distill(
    student: &Tensor,
    teacher: Option<&Tensor>,
    labels: Option<&Labels>,
    options: &DistillOptions,
) -> Result<Distilled, KernelError> {
    let problem = DistillProblem::new(student, teacher, labels, options)?;
    let (client, dtype) = (student.client(), problem.dtype);
    let out = Distilled {
        losses: Tensor::empty(client, &[options.terms(), problem.batch], dtype),
        grad: Tensor::empty(client, student.shape(), dtype),
        options: *options,
    };
    if problem.batch > 0 {
        fused::launch_fused(&problem, student, teacher, labels, &out.losses, &out.grad);
    }
    Ok(out)
}

/// The loss and the gradient of a problem of one term, which was validated.
pub(super) fn one_term(
    problem: &DistillProblem,
    student: &Tensor,
    teacher: Option<&Tensor>,
    labels: Option<&Labels>,
) -> LossAndGrad {
    let out = LossAndGrad::empty_like(student);
    if problem.batch > 0 {
        fused::launch_fused(problem, student, teacher, labels, &out.loss, &out.grad);
    }
    out
}
