//! Softmax cross-entropy with label smoothing (`docs/methods.md` section 2.6), and its gradient.
//!
//! **Computes**, for logits `z`, the label `k` and smoothing `e` over `C` classes, `loss[n] = 1/N sum over j of t_j (-ln p_j)` with
//! `p = softmax(z)`, `t_j = (1 - e) [j = k] + e / C`, and the gradient `(p_j - t_j) / N` of their sum.
//!
//! **Layout** logits and gradient `[n, c]`, loss `[n]`; the vectors lie along the classes.
//!
//! **Kernel** that of [`distill`], with this one term.
//!
//! **Saved for the backward pass**: the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** With `x` the log-odds of the label, `-ln p_k = softplus(-x)` and `1 - p_k = sigmoid(-x)`: the loss and the
//! gradient of a confident sample keep their digits, where `ln` of a sum that rounds to 1 would give 0.
//!
//! **Not finite**: a row with a NaN or infinite logit has a NaN loss and a NaN gradient; other rows are untouched.

pub mod cost;
pub mod reference;

use super::distill::{self, CrossEntropyOptions, DistillOptions, DistillProblem};
use super::{LossAndGrad, check_labels, check_smoothing};
use crate::{Cost, DType, KernelError, Labels, Tensor};

const OP: &str = "cross_entropy";

/// Validated extents and smoothing of one cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropyProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// The probability that is spread evenly over all classes, in `[0, 1)`.
    pub smoothing: f64,
    /// Element type of logits, loss and gradient.
    pub dtype: DType,
}

impl CrossEntropyProblem {
    /// The problem of `logits` `[n, c]` against `labels`.
    ///
    /// # Errors
    /// In this order: the rank of `logits`; the number of labels and their number of classes; fewer than two classes; `smoothing`
    /// outside of `[0, 1)`.
    pub fn new(logits: &Tensor, labels: &Labels, smoothing: f64) -> Result<Self, KernelError> {
        let [batch, classes] = logits.dims(OP, "logits", "[n, c]")?;
        check_labels(OP, labels, batch, classes)?;
        check_smoothing(OP, smoothing)?;
        Ok(Self {
            batch,
            classes,
            smoothing,
            dtype: logits.dtype(),
        })
    }

    /// The cost of loss and gradient; see [`cost::fused`].
    pub fn cost(&self) -> Cost {
        cost::fused(self)
    }
}

/// The loss of each sample and the gradient `[n, c]` of their sum, the batch mean. One launch; none for an empty batch.
///
/// # Errors
/// Those of [`CrossEntropyProblem::new`], then a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn cross_entropy(
    logits: &Tensor,
    labels: &Labels,
    smoothing: f64,
) -> Result<LossAndGrad, KernelError> {
    let CrossEntropyProblem {
        batch,
        classes,
        smoothing,
        dtype,
    } = CrossEntropyProblem::new(logits, labels, smoothing)?;
    let problem = DistillProblem {
        batch,
        classes,
        options: DistillOptions {
            cross_entropy: Some(CrossEntropyOptions {
                smoothing,
                ..CrossEntropyOptions::default()
            }),
            ..DistillOptions::default()
        },
        factors: 0,
        dtype,
    };
    distill::one_term(&problem, logits, &[], Some(labels))
}
