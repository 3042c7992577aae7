//! Dropout: every element is kept or dropped by chance, and the chance is a function.
//!
//! **Computes** `y[i] = x[i] m[i] / (1 - p)`, where `m[i]` is 0 with probability `p`, else 1 (`docs/methods.md` section 8.4). Backward,
//! `grad x[i] = grad[i] m[i] / (1 - p)`: the same function of the gradient, which is why there is no other.
//!
//! **The mask** follows from the seed and from `i` alone, the element's place in `x` counted row by row: `m[i] = 0` where
//! `h(h(i ^ a) ^ b) < 2^32 p`, with `h` the finaliser of MurmurHash3 for 32 bits (Appleby 2011) and `a`, `b` the halves of the first output
//! of SplitMix64 (Steele, Lea and Flood 2014) from the seed. It is the same on every device, in vectors of any width, on any number of
//! cores, whether `x` is a window or not. Neighbouring seeds have masks that have nothing to do with each other.
//!
//! **Layout** any shape; `x` may be a channel window.
//!
//! **One unit owns** a run of rows: the pixels of a window, or pieces of 32 vectors of a tensor without gaps.
//!
//! **Saved for the backward pass**: nothing. The seed gives the mask again.
//!
//! **Why this shape.** Memory-bound, one read and one write: four multiplies of integers an element cost less than a mask that is
//! written and read again would. Counters need no state that units would have to share, and no order.
//!
//! **Not finite**: `x` is multiplied, as PyTorch's is. A dropped NaN or infinity is NaN: a network that has diverged shows it.

pub mod cost;
mod forward;
pub mod reference;

use crate::{KernelError, Tensor};

const OP: &str = "dropout";

/// Which elements are dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutOptions {
    /// The probability `p` of an element to be dropped.
    pub rate: f64,
    /// The mask's.
    pub seed: u64,
}

/// Drops elements of `x`, of any shape, which may be a window, and scales the others up; the gradient of that is itself, of the
/// gradient that arrives. One launch; none for a rate of 0, which gives `x` itself, in the same memory, nor for an empty tensor.
///
/// # Errors
/// In this order: a rate that is not at least 0 and below 1; an `x` past [`Tensor::MOST_ELEMENTS`].
pub fn dropout(x: &Tensor, options: DropoutOptions) -> Result<Tensor, KernelError> {
    let wanted = "a number of at least 0 and below 1";
    KernelError::check_float(OP, "rate", options.rate, wanted, |p| {
        (0.0..1.0).contains(&p)
    })?;
    x.check_addressable(OP, "x")?;
    if options.rate == 0.0 {
        return Ok(x.clone());
    }
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !y.is_empty() {
        forward::launch_dropout(x, &y, options);
    }
    Ok(y)
}
