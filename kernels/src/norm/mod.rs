//! Normalisation: of channels over a batch, of rows, and of rows to probabilities.

pub mod batch_norm;
pub mod layer_norm;
mod moments;
mod partials;
pub(crate) mod row;
mod runs;
pub mod softmax;

use crate::{DType, KernelError};

/// Passes for a number that keeps the deviation of equal elements above 0, computed in `accumulator`.
pub(crate) fn check_epsilon(
    op: &'static str,
    accumulator: DType,
    epsilon: f64,
) -> Result<(), KernelError> {
    let wanted = "finite and above 0 in the accumulator of x's element type";
    KernelError::check_float(op, "epsilon", epsilon, wanted, |epsilon| {
        let rounded = accumulator.round(epsilon);
        rounded > 0.0 && rounded.is_finite()
    })
}
