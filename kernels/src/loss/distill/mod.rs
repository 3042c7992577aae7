//! Any weighted sum of cross-entropy, classical and decoupled distillation, and its gradient, from one read of the logits.
//!
//! **Computes** `loss[term, n]` for every term that the options name, as [`cross_entropy`](super::cross_entropy),
//! [`kd`](super::kd) and [`dkd`](super::dkd) define it, each times its weight, and the gradient of the sum of all. Those three are
//! this kernel with one term. At one temperature the distilling terms share everything: the divergence of two softmaxes is that of
//! target against rest (TCKD) plus the rest's own (NCKD) times the teacher's doubt `1 - q_k`, so that classical distillation is DKD
//! with alpha 1 and a beta of `1 - q_k` for each sample.
//!
//! **Layout** logits and gradient `[n, c]`, losses `[terms, n]`; the vectors lie along the classes and may start anywhere. The last
//! one overlaps its neighbour; shared lanes, and the target's, are masked in those two vectors alone (`sweeps.rs`).
//!
//! **One unit owns** a run of rows, and walks a row block by block: the largest non-target logit (no exponential), the exponentials,
//! one a class, network and temperature, kept in the unit's notes with their sum, and the divergence within the block. Blocks are
//! then joined: the divergence of a row is that of the blocks' probabilities plus each block's own times its probability, all terms
//! at least 0. A last walk scales the kept exponentials into the gradient. The partition depends on the number of classes and the
//! vector's width alone, never on the number of units.
//!
//! **Saved for the backward pass**: the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** A running softmax takes four exponentials a class for two networks (two to read, two to write); this takes
//! two. An f32 exponential of a distance that is never above 0 needs neither the overflow check nor the two-part scaling of a
//! general one (`decay.rs`). Divergences are summed as `q (exp(r) - 1 - r)`: no term is below 0, and equal networks give exactly 0.
//! The gradient scales both networks' exponentials so that the larger share is 1 before it subtracts them: a product that a
//! compiler fuses into the subtraction would leave its rounding error where equal networks must give 0; `p - q` was tried and did.
//!
//! **Not finite**: a row with a NaN or infinite logit has a NaN gradient, and NaN in the terms that read that network; other rows
//! are untouched. A sum of distances within a block that overflows, over the temperature, counts as infinite.
//!
//! **Measured** for DKD in f32 on 2 cores with AVX-512, with the sums of lanes still taken one by one: 4096 x 1000 in 2.8 ms (5.7
//! before), 1024 x 16384 in 13.7 ms (20.6). **Lost**: 256 x 131072 took 72.7 ms (40), where kept exponentials no longer fit the
//! second cache beside the logits, and 64 x 10 took 0.052 ms (0.04). Not tried: taking the exponentials of long rows twice.

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
