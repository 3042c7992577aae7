//! Decoupled knowledge distillation (DKD; Zhao et al., CVPR 2022; `docs/methods.md` section 2.2), and its gradient with respect to the
//! student.
//!
//! **Computes**, for student logits `z`, teacher logits `v`, the label `k` and the temperature `T`, with `p = softmax(z / T)`,
//! `q = softmax(v / T)` and `p^`, `q^` the softmaxes over the classes other than `k`:
//! `TCKD = q_k ln(q_k / p_k) + (1 - q_k) ln((1 - q_k) / (1 - p_k))`, `NCKD = sum over j != k of q^_j ln(q^_j / p^_j)`,
//! `loss[n] = weight T^2 / N (alpha TCKD + beta NCKD)`, and, with `d = p_k - q_k`, the gradient of their sum
//! `weight T / N alpha d` at `k`, `weight T / N (-alpha d p^_j + beta (p^_j - q^_j))` elsewhere.
//!
//! **Layout** logits and gradient `[n, c]`, loss `[n]`; the vectors lie along the classes.
//!
//! **Kernel** that of [`distill`], with this one term.
//!
//! **Saved for the backward pass**: the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** Both terms come from log-odds and log-probabilities, never from the logarithm of a summed probability, and
//! the target is a masked lane, not a logit lowered by some large constant: no margin is too large. Both divergences are
//! summed as `q (exp(r) - 1 - r)`, `r = ln p - ln q`, whose terms are at least 0: the loss is never negative, is exactly 0 for a
//! student that equals its teacher, and NCKD is exactly 0 for two classes.
//!
//! **Not finite**: a row with a NaN or infinite logit in either network has a NaN loss and a NaN gradient; other rows are
//! untouched. [`distill`] says what counts as infinite, and how fast it is.

pub mod cost;
pub mod reference;

use super::distill::{self, DistillOptions, DistillProblem, TeacherTerms};
use super::{LossAndGrad, check_labels, check_temperature, holds};
use crate::{Cost, DType, KernelError, Labels, Tensor};
use std::slice::from_ref;

const OP: &str = "dkd";

/// The hyper-parameters of DKD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DkdOptions {
    /// Weight of the target-class term (TCKD).
    pub alpha: f64,
    /// Weight of the non-target-class term (NCKD).
    pub beta: f64,
    /// Divides the logits of both networks; above 0.
    pub temperature: f64,
    /// Multiplies the whole loss: the warm-up's position.
    pub weight: f64,
}

impl Default for DkdOptions {
    /// The published defaults, past the warm-up: alpha 1, beta 8, temperature 4, weight 1.
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 8.0,
            temperature: 4.0,
            weight: 1.0,
        }
    }
}

impl DkdOptions {
    /// Passes when a kernel can compute with these numbers in `dtype`.
    pub(super) fn check(&self, op: &'static str, dtype: DType) -> Result<(), KernelError> {
        let &Self {
            alpha,
            beta,
            temperature,
            weight,
        } = self;
        check_temperature(op, dtype, temperature)?;
        for (parameter, value) in [("alpha", alpha), ("beta", beta), ("weight", weight)] {
            KernelError::check_float(op, parameter, value, "at least 0", |v| v >= 0.0)?;
        }
        for (parameter, value) in [("weight alpha T^2", alpha), ("weight beta T^2", beta)] {
            let product = weight * value * temperature * temperature;
            let wanted = "a number that the element type holds";
            KernelError::check_float(op, parameter, product, wanted, |v| holds(dtype, v))?;
        }
        Ok(())
    }
}

/// Validated extents and options of one DKD loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DkdProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// The hyper-parameters.
    pub options: DkdOptions,
    /// Element type of the logits of both networks, loss and gradient.
    pub dtype: DType,
}

impl DkdProblem {
    /// The problem of distilling `teacher` `[n, c]` into `student` `[n, c]`.
    ///
    /// # Errors
    /// In this order: the rank of `student`; shape, then element type of `teacher`; the number of labels and their number of
    /// classes; fewer than two classes; a temperature that is not above 0, or whose square or reciprocal the element type does not
    /// hold; alpha, beta, then weight below 0 or not finite; a product `weight alpha T^2`, then `weight beta T^2`, that the element
    /// type does not hold.
    pub fn new(
        student: &Tensor,
        teacher: &Tensor,
        labels: &Labels,
        options: &DkdOptions,
    ) -> Result<Self, KernelError> {
        let [batch, classes] = student.dims(OP, "student", "[n, c]")?;
        let dtype = student.dtype();
        teacher.check(OP, "teacher", student.shape(), dtype)?;
        check_labels(OP, labels, batch, classes)?;
        options.check(OP, dtype)?;
        Ok(Self {
            batch,
            classes,
            options: *options,
            dtype,
        })
    }

    /// The cost of loss and gradient; see [`cost::fused`].
    pub fn cost(&self) -> Cost {
        cost::fused(self)
    }
}

/// The loss of each sample and the gradient `[n, c]` of their sum with respect to the student. One launch; none for an empty batch.
///
/// # Errors
/// Those of [`DkdProblem::new`], then a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn dkd(
    student: &Tensor,
    teacher: &Tensor,
    labels: &Labels,
    options: &DkdOptions,
) -> Result<LossAndGrad, KernelError> {
    let DkdProblem {
        batch,
        classes,
        options,
        dtype,
    } = DkdProblem::new(student, teacher, labels, options)?;
    let problem = DistillProblem {
        batch,
        classes,
        options: DistillOptions::of_teacher(TeacherTerms {
            dkd: Some(options),
            ..TeacherTerms::default()
        }),
        factors: 0,
        dtype,
    };
    distill::one_term(&problem, student, from_ref(teacher), Some(labels))
}
