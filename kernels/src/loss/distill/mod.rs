//! Any weighted sum of a cross-entropy and of what up to four teachers say, classical and decoupled distillation and cosines, and its
//! gradient, in one launch and from one read of the logits.
//!
//! **Computes** `loss[term, n]` for every term that the options name, as [`cross_entropy`](super::cross_entropy), [`kd`](super::kd),
//! [`dkd`](super::dkd) and [`cosine`](super::cosine) define it, each times its weight and its factor, and the gradient of the sum of all.
//! The first three are this kernel with one term. **Factors** lie on the device, one for the cross-entropy and one for each teacher's
//! terms, of the batch or of each sample: what weighs teachers ([`dual_teacher`](super::dual_teacher)) is not read on the host.
//!
//! **Pairs.** A pair is the student's softmax and that of a teacher at one temperature; the cross-entropy joins one at temperature 1, or
//! has the student's alone. The terms of a pair share everything: the divergence of two softmaxes is that of target against rest (TCKD)
//! plus the rest's own (NCKD) times the teacher's doubt `1 - q_k`, so that classical distillation is DKD with alpha 1 and a beta of
//! `1 - q_k` for each sample. Pairs of one temperature do not share the student's exponentials: they are one of five that two teachers
//! take a class.
//!
//! **Layout** logits and gradient `[n, c]`, losses `[terms, n]`; the vectors lie along the classes and may start anywhere. The last
//! one overlaps its neighbour. What is kept of its shared lanes, and of the target's, is 0 (`passes.rs`), so that only the walks over
//! logits ask which lanes count.
//!
//! **Map.** `problem.rs` validates, `blueprint.rs` says what is compiled. `launch.rs` chooses the kernel: `fused.rs` for rows of many
//! classes, `short/` for rows of few, `team/` for GPUs. `segment.rs` indexes, `scratch.rs` lays out a unit's scratch. `passes.rs` walks
//! over logits, takes exponentials, and writes the gradient. `join.rs` joins the blocks of a long row. `finalize.rs` turns sums into
//! losses and slopes, by the formulas of `terms.rs`.
//!
//! **One unit owns** a run of rows, and walks it in bundles of segments (`segment.rs`): up to a vector's lanes of short rows side by side,
//! or one long row in blocks of 64 vectors. Of a segment it finds the largest non-target logit (no exponential); keeps the exponentials,
//! one a class, pair and network, and how far the networks' distances to their maxima lie apart; then sums the divergence, and
//! keeps how far the softmaxes lie apart in the place of the teacher's exponentials. What is known of a segment is one lane of a vector
//! (`scratch.rs`), so that the logarithms, exponentials and divisions that turn sums into losses and slopes are done once a bundle
//! (`finalize.rs`). The blocks of a long row are joined (`join.rs`): the divergence of a row is that of the blocks' probabilities plus
//! each block's own times its probability, all terms at least 0. A walk makes the gradient of two products a class and
//! pair. Cosines come last: they walk the row as [`cosine`](super::cosine) does, and add to the gradient while it is in the first cache.
//! The partition depends on the number of classes and the vector's width alone, never on the number of units. On a GPU
//! a team of units owns a row, and walks it as `team/mod.rs` says; what follows is about a CPU, and rows of many classes.
//!
//! **Saved for the backward pass**: the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** A running softmax takes four exponentials a class for two networks (two to read, two to write); this takes
//! two. An f32 exponential of a distance that is never above 0 needs neither the overflow check nor the two-part scaling of a
//! general one (`decay.rs`). Divergences are summed as `q (exp(r) - 1 - r)`: no term is below 0, and equal networks give exactly 0;
//! the difference `p - q` that such a term needs is the gradient's too, once its factor makes good by how much a block's sums differ
//! from the row's. For two networks at one temperature that makes 47 vector instructions a vector of classes: 2 for the maxima, 29
//! for the exponentials, 14 for the divergence and 2 for the gradient. It
//! was 57 while each walk made its own differences.
//!
//! **Memory.** A walk that takes exponentials is slow enough to hide the reads of the next 1,024 logits, which a walk for maxima is
//! not: one element of each line is fetched on the way, and added up as an integer, for which no vector instruction waits. Where a
//! row is one segment, the lines of its gradient are fetched too.
//!
//! **Not finite**: a row with a NaN or infinite logit has a NaN gradient, and NaN in the terms that read that network, whatever their
//! factor; other rows are untouched. It shows in the divergence, which is not finite then, or, for the cross-entropy, in the sum of the
//! distances; a divergence or a sum of distances within a block that overflows, over the temperature, counts as infinite.
//!
//! **Measured** for DKD in f32 on 2 cores with AVX-512: 4096 x 100 in 0.37 ms (0.57 with a scalar rest, walks of their own, and no
//! fetching), 4096 x 1000 in 1.96 ms (2.46; 2.27 without fetching logits). The gradient's lines were added in an hour when the memory
//! was several times slower for everyone: 8.1 and 8.5 ms for 4096 x 1000 with them, 10.1 and 12.1 without. **Not gained**: 1024 x 16384
//! takes 11.5 ms (12.0) and 256 x 131072 takes 26 to 28 ms (29): in the first, a third of the time is spent on waiting for logits and a
//! third on the gradient's walk; 512, 2,048 and 4,096 elements ahead, blocks of 32 and of 128 vectors, and no fetching at all came to
//! the same within 10 %. 64 x 10 took 0.03 ms, most of it the launch, and takes 0.019 ms since one core has little logits to itself.
//!
//! **Few classes**: up to twice a vector's lanes less one, the lanes are rows instead (`short/mod.rs`), with the same notes and formulas:
//! 524288 x 2 takes 3.0 to 3.3 ms (31 to 41 along the classes), 131072 x 8 takes 1.5 to 1.9 (3.6 to 5.4).
//! That is still 7 and 15 % of a copy of what is in a cache: a row's logarithms and divisions do not become fewer with its classes.

mod blueprint;
pub mod cost;
mod finalize;
mod fused;
mod join;
mod launch;
mod passes;
mod problem;
pub mod reference;
mod scratch;
mod segment;
mod short;
mod team;
mod terms;

pub use problem::{CrossEntropyOptions, DistillOptions, DistillProblem, Mixed, TeacherTerms};

use self::launch::Operands;
use super::LossAndGrad;
use crate::pointwise::add_at;
use crate::{Cost, KernelError, Labels, Tensor};

/// What [`distill`] leaves behind.
#[derive(Debug, Clone)]
pub struct Distilled {
    /// `[terms, n]`: each sample's terms, weighted, times their factors and over `n`, so that the sum of a row is that term's mean over
    /// the batch and the sum of all is the loss. The rows are the terms that were asked for: the cross-entropy, then of each teacher
    /// classical distillation, decoupled distillation and cosine.
    pub losses: Tensor,
    /// `[n, c]`: the gradient of the loss with respect to the student's logits, in the accumulator of their element type.
    pub grad: Tensor,
    options: DistillOptions,
}

impl Distilled {
    /// The cross-entropy's `[n]`, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn cross_entropy(&self) -> Option<Tensor> {
        self.options
            .cross_entropy
            .as_ref()
            .and_then(|_| self.row(0))
    }

    /// Classical distillation's `[n]` from a teacher, counted from 0, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn kd(&self, teacher: usize) -> Option<Tensor> {
        self.terms(teacher)?.kd?;
        self.row(self.options.first_row(teacher))
    }

    /// Decoupled distillation's `[n]` from a teacher, counted from 0, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn dkd(&self, teacher: usize) -> Option<Tensor> {
        let terms = self.terms(teacher)?;
        terms.dkd?;
        self.row(self.options.first_row(teacher) + usize::from(terms.kd.is_some()))
    }

    /// The cosine's `[n]` with a teacher, counted from 0, if it was asked for; shares the memory where [`Tensor::slice`] can.
    pub fn cosine(&self, teacher: usize) -> Option<Tensor> {
        let terms = self.terms(teacher)?;
        terms.cosine?;
        self.row(self.options.first_row(teacher) + terms.terms() - 1)
    }

    fn terms(&self, teacher: usize) -> Option<&TeacherTerms> {
        self.options.teachers.get(teacher)
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

/// The terms that `options` names, and the gradient of their sum with respect to `student` `[n, c]`, from the logits `[n, c]` of as many
/// `teachers` as the options have terms for. `labels` are wanted by the cross-entropy and by decoupled distillation. `factors`
/// `[1 + teachers]`, or `[n, 1 + teachers]`, in the accumulator of the logits' element type, multiply the cross-entropy and each teacher's
/// terms, of all samples or of each, losses and gradient. One launch; none for an empty batch.
///
/// # Errors
/// Those of [`DistillProblem::new`], then losses or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn distill(
    student: &Tensor,
    teachers: &[Tensor],
    labels: Option<&Labels>,
    factors: Option<&Tensor>,
    options: &DistillOptions,
) -> Result<Distilled, KernelError> {
    let problem = DistillProblem::new(student, teachers, labels, factors, options)?;
    let (client, dtype) = (student.client(), problem.dtype);
    let shape = [options.terms(), problem.batch];
    let losses = Tensor::room("distill", "losses", client, &shape, dtype.accumulator())?;
    let grad = Tensor::empty(client, student.shape(), dtype.accumulator());
    launch::launch_fused(
        &problem,
        &Operands {
            student,
            teachers,
            labels,
            mixed: None,
            factors,
            loss: &losses,
            grad: &grad,
        },
    )?;
    Ok(Distilled {
        losses,
        grad,
        options: options.clone(),
    })
}

/// The loss and the gradient of a problem of one term, which was validated.
pub(super) fn one_term(
    problem: &DistillProblem,
    student: &Tensor,
    teachers: &[Tensor],
    labels: Option<&Labels>,
) -> Result<LossAndGrad, KernelError> {
    let out = LossAndGrad::empty_like(student);
    launch::launch_fused(
        problem,
        &Operands {
            student,
            teachers,
            labels,
            mixed: None,
            factors: None,
            loss: &out.loss,
            grad: &out.grad,
        },
    )?;
    Ok(out)
}
