//! Classical knowledge distillation, and its gradient with respect to the student.
//!
//! **Computes**, for student logits `z`, teacher logits `v` and the temperature `T`, with `p = softmax(z / T)` and
//! `q = softmax(v / T)`, `loss[n] = weight T^2 / N sum over j of q_j ln(q_j / p_j)` (Hinton et al. 2015; `docs/methods.md` section 2.1), and the gradient
//! `weight T / N (p_j - q_j)` of their sum. `T^2` keeps the gradient's size while the temperature grows.
//!
//! **Layout, kernel** those of [`distill`], of which this is the sum of one term. No labels: the divergence is split
//! into that of class 0 against the rest and that within the rest, which is the same number whichever class is taken.

pub mod cost;
pub mod reference;

use super::distill::{self, DistillOptions, DistillProblem, TeacherTerms};
use super::{LossAndGrad, check_classes, check_temperature, holds};
use crate::{Cost, DType, KernelError, Tensor};
use std::slice::from_ref;

const OP: &str = "kd";

/// The hyper-parameters of classical distillation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KdOptions {
    /// Divides the logits of both networks; above 0.
    pub temperature: f64,
    /// Multiplies the loss.
    pub weight: f64,
}

impl Default for KdOptions {
    /// Temperature 4, weight 1.
    fn default() -> Self {
        Self {
            temperature: 4.0,
            weight: 1.0,
        }
    }
}

impl KdOptions {
    /// Passes when a kernel can compute with these numbers in `dtype`.
    pub(super) fn check(&self, op: &'static str, dtype: DType) -> Result<(), KernelError> {
        let &Self {
            temperature,
            weight,
        } = self;
        check_temperature(op, dtype, temperature)?;
        KernelError::check_float(op, "weight", weight, "at least 0", |w| w >= 0.0)?;
        let product = weight * temperature * temperature;
        let wanted = "a number that the element type holds";
        KernelError::check_float(op, "weight T^2", product, wanted, |v| holds(dtype, v))
    }
}

/// Validated extents and options of one distillation loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KdProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// The hyper-parameters.
    pub options: KdOptions,
    /// Element type of the logits of both networks, loss and gradient.
    pub dtype: DType,
}

impl KdProblem {
    /// The problem of distilling `teacher` `[n, c]` into `student` `[n, c]`.
    ///
    /// # Errors
    /// In this order: the rank of `student`; shape, then element type of `teacher`; fewer than two classes; a temperature that is
    /// not above 0, or whose square or reciprocal the element type does not hold; a weight below 0 or not finite; a product
    /// `weight T^2` that the element type does not hold.
    pub fn new(
        student: &Tensor,
        teacher: &Tensor,
        options: &KdOptions,
    ) -> Result<Self, KernelError> {
        let [batch, classes] = student.dims(OP, "student", "[n, c]")?;
        let dtype = student.dtype();
        teacher.check(OP, "teacher", student.shape(), dtype)?;
        check_classes(OP, classes)?;
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
/// Those of [`KdProblem::new`], then a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn kd(
    student: &Tensor,
    teacher: &Tensor,
    options: &KdOptions,
) -> Result<LossAndGrad, KernelError> {
    let KdProblem {
        batch,
        classes,
        options,
        dtype,
    } = KdProblem::new(student, teacher, options)?;
    let problem = DistillProblem {
        batch,
        classes,
        options: DistillOptions::of_teacher(TeacherTerms {
            kd: Some(options),
            ..TeacherTerms::default()
        }),
        factors: 0,
        dtype,
    };
    distill::one_term(&problem, student, from_ref(teacher), None)
}
