//! What the tests of every operation share: the device, operands, tolerances, refusals and the check of determinism.

mod cores;
mod device;
mod fused;
mod launches;
mod prologue;
mod refusal;
pub mod soak;
mod tolerance;
mod windows;

pub use cores::{Fingerprint, assert_same_bits_on_one_core};
pub use device::{
    client, dtypes, dtypes_with_exp, finishes_loops, has_f64, has_f64_exp, skipped,
    tolerances_with_exp,
};
pub use fused::{
    FusedConvolution, assert_fused_is_composed, assert_fused_refuses,
    assert_not_finite_passes_fused,
};
pub use ghostlight_autodiff::check::naive;
pub use launches::{assert_launches, launches};
pub use prologue::assert_entered_is_written;
pub use refusal::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape};
pub use tolerance::{
    GRADIENT, NOT_FINITE, VALUE, assert_adjoint, assert_alike, assert_exact, assert_near,
    assert_same_bits,
};

pub use windows::Windowed;

use ghostlight_autodiff::Function;
use ghostlight_autodiff::check::{Check, CheckError, Checked};
use ghostlight_kernels::{DType, Tensor};
use proptest::test_runner::Config;

/// A property over `cases` random cases, divided by `GHOSTLIGHT_CASES_DIVISOR` where a device takes too long for all of them. A
/// failure prints its smallest case, seed included; nothing is written beside the tests.
pub fn cases(cases: u32) -> Config {
    let divisor = std::env::var("GHOSTLIGHT_CASES_DIVISOR").map_or(1, |divisor| {
        let divisor = divisor.parse().ok().filter(|&divisor| divisor > 0);
        divisor.expect("GHOSTLIGHT_CASES_DIVISOR is a number above 0")
    });
    Config {
        cases: cases.div_ceil(divisor),
        failure_persistence: None,
        ..Config::default()
    }
}

/// What `check` has looked at on the test's device; nothing where no result has elements.
///
/// # Panics
/// With everything that `check` found.
pub fn assert_checks<F: Function>(check: Check<F>) -> Option<Checked> {
    match check.run(&client()) {
        Ok(checked) => Some(checked),
        Err(CheckError::Unprobed(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// `dtypes`, and the 16-bit types: those to [`Check`] an operation in. The device that executes PTX models no comparison of two halves at once.
pub fn with_halves(dtypes: Vec<DType>) -> Vec<DType> {
    if std::env::var("GHOSTLIGHT_DEVICE").as_deref() == Ok("ptx") {
        skipped("16 bits", "two halves at once are not modelled");
        return dtypes;
    }
    [vec![DType::F16, DType::Bf16], dtypes].concat()
}

/// The values f32 holds that are nearest to `values`.
pub fn narrow(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v as f32)).collect()
}

/// `count` values between -1 and 1 that f32 holds exactly, so that every element type computes with the same operands.
pub fn reals(seed: u64, count: usize) -> Vec<f64> {
    narrow(&ghostlight_autodiff::check::values(seed, count))
}

/// `count` integers from -4 to 4: sums of their products are exact in f32 up to 2^24, in any order.
pub fn integers(seed: u64, count: usize) -> Vec<f64> {
    ghostlight_autodiff::check::values(seed, count)
        .into_iter()
        .map(|v| (v * 4.5).trunc())
        .collect()
}

/// The magnitudes of `values`.
pub fn abs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

/// `values` on the default device.
pub fn upload(values: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_f64(&client(), values, shape, dtype).expect("the values fill the shape")
}

/// The elements of `tensor`, failing the test when a launch before this failed.
pub fn download(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f64().expect("every launch succeeded")
}

/// Fills the memory that the next operation is given with NaN, so that an element read before it is written shows.
///
/// The pool hands freed memory out again by size: tensors of each of `lens` elements, and of sizes between, are written and freed.
pub fn poison(dtype: DType, lens: &[usize]) {
    ghostlight_autodiff::check::poison(&client(), dtype, lens)
        .expect("tensors of a test are small");
}
