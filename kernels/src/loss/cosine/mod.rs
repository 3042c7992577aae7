//! One minus the cosine between what student and teacher say about a sample, and its gradient with respect to the student.
//!
//! **Computes** `loss[n] = weight/N (1 - <u, w> / (|u| |w|))` for the vectors `u` of the student and `w` of the teacher, which are
//! ([`Comparison`]) the rows themselves (logits or features), the rows less their means (one minus Pearson's correlation, blind to a
//! constant on all logits as a softmax is), or their softmaxes at a temperature. With `u^ = u / |u|`, `w^ = w / |w|` and `L = 1 - cos` the gradient of
//! the sum, for a weight of 1, is `-(w^ - cos u^) / (N |u|)`, less its mean for centred rows, and `-p^ (w^ - cos p^) / (N T)`, element by element,
//! for softmaxes: the term `<p, dL/dp>` of a softmax's chain rule is 0, as a cosine does not change with a vector's length.
//! Source: `docs/methods.md` section 5 (VGG16 to MobileNetV2 with KL and cosine losses).
//!
//! **Vectors without a direction.** A norm below `epsilon` is replaced by `epsilon`, each of the two on its own, as PyTorch's
//! `cosine_similarity` does; the gradient is the derivative of just that. So a zero vector has the loss `1/N`, as at a right angle, a zero
//! teacher gives no gradient, and a zero student is pulled to the teacher's direction by `-w^ / (N epsilon)`: a length of 1e8 with the default,
//! which a method whose features may all die should raise. A softmax is never shorter than `1 / sqrt(C)`; `epsilon` does not touch it.
//!
//! **Layout** student, teacher and gradient `[n, ..]`: all axes but the first are one row, so `[n, h, w, c]` maps are compared sample by
//! sample. Loss `[n]`. A row has any length; its vectors start at any address where the device can load them there.
//!
//! **Map.** `fused.rs` walks and launches on a CPU, `team.rs` on a GPU, where `row_transform.rs` finds what turns rows into vectors. `angle.rs` has
//! the formulas of both. [`distill`](super::distill) takes the same walks, and adds what they find to its gradient.
//!
//! **One unit owns** a run of samples. Centred rows and softmaxes it first writes to two rows of scratch of its own, so that each
//! exponential is taken once; then it reads both vectors for the norms, for the loss, and for the gradient, which needs the loss.
//! On a GPU a team of units owns a sample, and keeps nothing (`team.rs`).
//!
//! **Saved for the backward pass**: the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** `1 - <u^, w^>` of vectors that nearly agree, the goal of the training, is a difference of two
//! numbers near 1. The kernel sums `|u - r w|^2 / (2 |u|^2)` with `r = |u| / |w|` instead, which is the same number with its digits, and
//! writes the gradient as `((u - r w) - L u) / (N |u|^2)` for the same reason. Rows that are equal up to a power of two have loss 0
//! and gradient 0, exactly.
//!
//! **Tried and lost.** Dividing both vectors before the difference: a multiply that is fused into the subtraction rounds one product
//! and not the other, and equal rows had a loss of 7e-18.
//!
//! **Not finite**: a NaN or an infinity in either row, or a sum of squares that overflows the element type, gives that sample a NaN
//! loss and a NaN gradient; other samples are untouched.

pub(super) mod angle;
pub mod cost;
pub(super) mod fused;
pub mod reference;
pub(super) mod row_transform;
pub(super) mod team;

use super::{LossAndGrad, holds};
use crate::{Cost, DType, KernelError, Tensor};

const OP: &str = "cosine";

/// Between which vectors the cosine is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Comparison {
    /// The rows as they are: features, or raw logits.
    Rows,
    /// The rows less their means.
    CentredRows,
    /// The softmaxes of the rows over this temperature, which is above 0.
    Softmaxes(f64),
}

/// The choices of a cosine loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineOptions {
    /// What is compared.
    pub between: Comparison,
    /// The least norm that a vector is divided by; above 0.
    pub epsilon: f64,
    /// Multiplies the loss.
    pub weight: f64,
}

impl Default for CosineOptions {
    /// Centred logits, the variant that does not change with what a softmax ignores; `epsilon` 1e-8, weight 1.
    fn default() -> Self {
        Self::of(Comparison::CentredRows)
    }
}

impl CosineOptions {
    /// The cosine of these vectors, with the default `epsilon` of 1e-8 and weight of 1.
    pub fn of(between: Comparison) -> Self {
        Self {
            between,
            epsilon: 1e-8,
            weight: 1.0,
        }
    }

    /// Passes when a kernel can compute with these numbers in `dtype`.
    pub(super) fn check(&self, op: &'static str, dtype: DType) -> Result<(), KernelError> {
        if let Comparison::Softmaxes(temperature) = self.between {
            let wanted = "above 0, with a reciprocal that the element type holds";
            KernelError::check_float(op, "temperature", temperature, wanted, |t| {
                t > 0.0 && holds(dtype, 1.0 / t)
            })?;
        }
        let wanted = "above 0, with a square and its reciprocal that the element type holds";
        KernelError::check_float(op, "epsilon", self.epsilon, wanted, |e| {
            e > 0.0 && holds(dtype, e * e) && holds(dtype, 1.0 / (e * e))
        })?;
        let wanted = "at least 0, a number that the element type holds";
        KernelError::check_float(op, "weight", self.weight, wanted, |w| {
            w >= 0.0 && holds(dtype, w)
        })
    }
}

/// Validated extents and options of one cosine loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineProblem {
    /// Samples.
    pub batch: usize,
    /// Elements of a sample.
    pub length: usize,
    /// What is compared, and how short a vector may be.
    pub options: CosineOptions,
    /// Element type of student, teacher, loss and gradient.
    pub dtype: DType,
}

impl CosineProblem {
    /// The problem of turning `student` `[n, ..]` towards `teacher` `[n, ..]`.
    ///
    /// # Errors
    /// In this order: `student` has fewer than two axes, or is a window; shape, element type, then window of `teacher`; no element in
    /// a sample; a temperature that is not above 0, or whose reciprocal the element type does not hold; an `epsilon` that is not
    /// above 0, or whose square or its reciprocal the element type does not hold; a weight below 0 or that the element type does not
    /// hold.
    pub fn new(
        student: &Tensor,
        teacher: &Tensor,
        options: &CosineOptions,
    ) -> Result<Self, KernelError> {
        let (shape, dtype) = (student.shape(), student.dtype());
        let wrong = |wanted: &str| KernelError::Shape {
            op: OP,
            tensor: "student",
            got: shape.to_vec(),
            wanted: wanted.to_string(),
        };
        if shape.len() < 2 {
            return Err(wrong("[n, ..] of two axes or more"));
        }
        student.check_whole(OP, "student")?;
        teacher.check(OP, "teacher", shape, dtype)?;
        let length = shape[1..].iter().product();
        if length == 0 {
            return Err(wrong("at least one element in a sample"));
        }
        options.check(OP, dtype)?;
        Ok(Self {
            batch: shape[0],
            length,
            options: *options,
            dtype,
        })
    }

    /// The cost of loss and gradient; see [`cost::fused`].
    pub fn cost(&self) -> Cost {
        cost::fused(self)
    }
}

/// The loss of each sample and the gradient, of the student's shape, of their sum with respect to the student. One launch; none for
/// an empty batch.
///
/// # Errors
/// Those of [`CosineProblem::new`], then a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn cosine(
    student: &Tensor,
    teacher: &Tensor,
    options: &CosineOptions,
) -> Result<LossAndGrad, KernelError> {
    let problem = CosineProblem::new(student, teacher, options)?;
    let out = LossAndGrad::empty_like(student);
    if problem.batch > 0 {
        fused::launch_fused(&problem, student, teacher, &out)?;
    }
    Ok(out)
}
