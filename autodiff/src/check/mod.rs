//! Tools to verify an operation: [`Check`] holds a whole [`crate::Function`] against its mathematics, [`gradcheck`] compositions of functions
//! against central differences, [`adjointness`] linear maps against themselves; [`values`] are deterministic.
//!
//! All of them call the operation through a [`crate::Tape`], as a model would. What they could not probe or judge is never taken for right.

mod adjoint;
mod findings;
mod function;
mod gradcheck;
mod rounding;

pub use adjoint::{Mismatch, adjointness};
pub use findings::{Derivative, Findings, Probe};
pub use function::{Check, CheckError, Checked, Circumstance, Difference, Differences, Subject};
pub use gradcheck::{Coverage, GradcheckError, GradcheckOptions, gradcheck};
pub use rounding::{naive, unit, vanishing};

use crate::{Client, DType, KernelError, Tensor};
use ghostlight_kernels::pointwise::fill;

/// `count` values between -1 and 1, the same for the same `seed` on every machine.
pub fn values(seed: u64, count: usize) -> Vec<f64> {
    // SplitMix64: no dependency for the sake of test values, and no visible pattern in them.
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 11
    };
    (0..count)
        .map(|_| next() as f64 / (1u64 << 52) as f64 - 1.0)
        .collect()
}

/// `sum of a b`.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Fills the memory that the next operation is given with NaN, so that an element read before it is written shows.
///
/// The pool hands freed memory out again by size: tensors of each of `lens` elements, and of sizes between, are written and freed.
///
/// # Errors
/// A tensor of `lens` elements is past what kernels address.
pub fn poison(client: &Client, dtype: DType, lens: &[usize]) -> Result<(), KernelError> {
    let sizes = lens.iter().copied().chain([64, 1 << 10, 1 << 13, 1 << 16]);
    let mut dirty = Vec::new();
    for len in sizes.flat_map(|len| [len, len]) {
        let tensor = Tensor::empty(client, &[len], dtype);
        tensor.check_addressable("poison", "lens")?;
        fill(&tensor, f64::NAN);
        dirty.push(tensor);
    }
    Ok(())
}

/// Where element `index` of a tensor of `shape` lies.
fn coordinates(index: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = index;
    let mut coordinates: Vec<usize> = shape
        .iter()
        .rev()
        .map(|extent| {
            let coordinate = rest % extent;
            rest /= extent;
            coordinate
        })
        .collect();
    coordinates.reverse();
    coordinates
}
