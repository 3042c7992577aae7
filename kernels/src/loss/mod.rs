//! Losses of a classifier, each with its gradient in the same launch.
//!
//! A loss kernel leaves one value per sample, already divided by the batch size; [`sum()`] adds them when the number is wanted.
//! All of them work in log space on the row's non-target classes (`log_space.rs`, `docs/methods.md` section 2.4): no probability is summed
//! and then logged.

pub mod cosine;
pub mod cross_entropy;
// The bench measures how fast its functions are.
#[doc(hidden)]
pub mod decay;
pub mod distill;
pub mod dkd;
pub mod dual_teacher;
pub mod flip_align;
pub mod kd;
mod lane_reduce;
mod log_space;
mod row;
mod sum;

pub use sum::sum;

use crate::{DType, KernelError, Labels, Tensor};

/// What a loss kernel leaves behind.
#[derive(Debug, Clone)]
pub struct LossAndGrad {
    /// `[n]`: each sample's loss over `n`, so that the sum is the mean over the batch; in the accumulator of the logits' element type.
    pub loss: Tensor,
    /// `[n, c]`: the gradient of that mean with respect to the logits, in the accumulator of their element type as well: 16 bits would
    /// round the most part of it to 0 before a loss scale could save it. [`scale_to`](crate::pointwise::scale_to) rounds it once.
    pub grad: Tensor,
}

impl LossAndGrad {
    fn empty_like(logits: &Tensor) -> Self {
        let accumulator = logits.dtype().accumulator();
        let loss = Tensor::empty(logits.client(), &logits.shape()[..1], accumulator);
        Self {
            loss,
            grad: Tensor::empty(logits.client(), logits.shape(), accumulator),
        }
    }
}

/// Checks the labels of `batch` rows of `classes` logits, and that there is a choice of class at all.
///
/// # Errors
/// In this order: the number of labels, the number of classes they were checked against, fewer than two classes.
fn check_labels(
    op: &'static str,
    labels: &Labels,
    batch: usize,
    classes: usize,
) -> Result<(), KernelError> {
    check_class_of_each(op, "labels", labels, batch, classes)?;
    check_classes(op, classes)
}

/// Checks the labels `tensor` of `batch` rows of `classes` logits.
///
/// # Errors
/// In this order: their number, the number of classes they were checked against.
fn check_class_of_each(
    op: &'static str,
    tensor: &'static str,
    labels: &Labels,
    batch: usize,
    classes: usize,
) -> Result<(), KernelError> {
    if labels.len() != batch {
        let (got, wanted) = (
            vec![labels.len()],
            format!("[{batch}], one label a row of logits"),
        );
        return Err(KernelError::Shape {
            op,
            tensor,
            got,
            wanted,
        });
    }
    if labels.classes() != classes {
        let wanted = "as many as the logits have columns";
        return Err(KernelError::range(
            op,
            "number of classes of labels",
            labels.classes(),
            wanted,
        ));
    }
    Ok(())
}

/// Passes when there is a choice of class at all.
fn check_classes(op: &'static str, classes: usize) -> Result<(), KernelError> {
    if classes < 2 {
        let wanted = "at least 2";
        return Err(KernelError::range(op, "number of classes", classes, wanted));
    }
    Ok(())
}

/// Passes for a share of the target that leaves some of it to the label.
fn check_smoothing(op: &'static str, smoothing: f64) -> Result<(), KernelError> {
    let wanted = "at least 0, less than 1";
    KernelError::check_float(op, "smoothing", smoothing, wanted, |e| {
        (0.0..1.0).contains(&e)
    })
}

/// Passes for a temperature that a kernel can divide by, and whose square it can multiply by.
fn check_temperature(op: &'static str, dtype: DType, temperature: f64) -> Result<(), KernelError> {
    let wanted = "above 0, with a square and a reciprocal that the element type holds";
    KernelError::check_float(op, "temperature", temperature, wanted, |t| {
        t > 0.0 && holds(dtype, t * t) && holds(dtype, 1.0 / t)
    })
}

/// Whether a kernel can compute with `value` beside elements of `dtype` without overflow.
fn holds(dtype: DType, value: f64) -> bool {
    dtype.accumulator().round(value).is_finite()
}
