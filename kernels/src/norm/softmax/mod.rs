//! Softmax over the last axis.
//!
//! **Computes** `y[r, i] = exp(x[r, i] - max_r) / sum over j of exp(x[r, j] - max_r)`; backward
//! `grad_x[r, i] = y[r, i] (grad[r, i] - sum over j of grad[r, j] y[r, j])`.
//!
//! **Layout** `[.., c]`, rows of any length.
//!
//! **One unit owns** a run of rows, and walks a row three times: its maximum, its exponentials (written to `y`, unless 16 bits would
//! round them: then they are taken again) with their sum, in blocks (`cascade.rs`), the division. The last vector of a row is moved back
//! to end with it; the lanes that it shares with the vector before are left out of the sum, and as the division is in place, and the
//! result may be `x` or the gradient itself, it is kept in a register until the shared lanes are final.
//!
//! On a GPU a team of units owns a row (`team.rs`).
//!
//! **Saved for the backward pass**: `y`.
//!
//! **Why this shape.** A row of 1,000 stays in the first cache between the walks, so memory sees one read and one write; an exponential
//! costs more than a second read, so it is taken once.
//!
//! **Not finite**: a row with a NaN or plus infinity, or of minus infinities alone, is NaN throughout; other rows are untouched. A
//! single minus infinity has the probability 0.

mod backward;
pub mod cost;
mod forward;
pub mod reference;
mod team;

use crate::{KernelError, Tensor};

const OP: &str = "softmax";

/// The length of a row of `x`, 0 when there is none.
fn row_of(x: &Tensor) -> usize {
    x.shape().last().copied().unwrap_or(0)
}

/// The softmax of every row of `x` `[.., c]`. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: an `x` without axes; an `x` that is a window.
pub fn softmax(x: &Tensor) -> Result<Tensor, KernelError> {
    if x.shape().is_empty() {
        let wanted = "[.., c]".to_string();
        return Err(KernelError::Shape {
            op: OP,
            tensor: "x",
            got: Vec::new(),
            wanted,
        });
    }
    x.check_whole(OP, "x")?;
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !y.is_empty() {
        forward::launch_softmax(x, &y, row_of(x));
    }
    Ok(y)
}

/// [`softmax()`] of a tensor that is no window, where it is. One launch; none for an empty tensor.
pub(crate) fn in_place(x: &Tensor) {
    if !x.is_empty() {
        forward::launch_softmax(x, x, row_of(x));
    }
}

/// The gradient with respect to `x`, from the result `y` of [`softmax()`] and `grad` of its shape. One launch; none for an empty
/// tensor.
///
/// # Errors
/// In this order: a `y` that is a window; shape and element type of `grad`; a `grad` that is a window.
pub fn backward(y: &Tensor, grad: &Tensor) -> Result<Tensor, KernelError> {
    y.check_whole(OP, "y")?;
    grad.check(OP, "grad", y.shape(), y.dtype())?;
    let out = Tensor::empty(y.client(), y.shape(), y.dtype());
    if !out.is_empty() {
        // A scalar, which no softmax returns, is a row of 1.
        backward::launch_backward(y, grad, &out, row_of(y).max(1));
    }
    Ok(out)
}

/// [`backward()`] where `grad` is, for tensors of one shape and type that are no windows. One launch; none for an empty tensor.
pub(crate) fn backward_in_place(y: &Tensor, grad: &Tensor) {
    if !grad.is_empty() {
        backward::launch_backward(y, grad, grad, row_of(y).max(1));
    }
}
