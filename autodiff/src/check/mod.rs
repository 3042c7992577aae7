//! Tools to verify an operation: [`gradcheck`] against central differences, [`adjointness`] of linear maps, and
//! deterministic test [`values`].
//!
//! All of them run in f64 and call the operation through a [`crate::Tape`], as a model would. What they could not probe or judge is
//! never taken for right.

mod adjoint;
mod findings;
mod gradcheck;

pub use adjoint::{Mismatch, adjointness};
pub use findings::{Derivative, Findings, Probe};
pub use gradcheck::{Coverage, GradcheckError, GradcheckOptions, gradcheck};

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
