use ghostlight_autodiff::check::{unit, vanishing};
use ghostlight_kernels::{DType, Tensor};

use crate::download;

/// Allowed error of a value, as a multiple of the [`naive`](crate::naive) one.
pub const VALUE: f64 = 2.0;
/// Allowed error of a gradient, as a multiple of the [`naive`](crate::naive) one: its partial sums are rounded once more.
pub const GRADIENT: f64 = 3.0;

fn assert_each(what: &str, got: &Tensor, wanted: &[f64], allowed: impl Fn(usize) -> f64) {
    let dtype = got.dtype();
    let got = download(got);
    assert_eq!(
        got.len(),
        wanted.len(),
        "{what} in {dtype:?}: number of elements"
    );
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        let allowed = allowed(i);
        // A NaN fails: it is not within any distance.
        assert!(
            (g - w).abs() <= allowed,
            "{what} in {dtype:?}, element {i}: {g}, wanted {w} within {allowed:e}"
        );
    }
}

/// Asserts that `got` holds exactly the numbers `wanted`. The sign of a zero is free: it says in which order zeros were added.
pub fn assert_exact(what: &str, got: &Tensor, wanted: &[f64]) {
    assert_each(what, got, wanted, |_| 0.0);
}

/// Asserts that `got` is `wanted` to within `units` units of rounding of `magnitude`, element by element.
///
/// `magnitude` is the sum of the magnitudes of all the terms an element is made of, which an operation's reference computes when
/// it is given magnitudes; `units` is [`VALUE`] or [`GRADIENT`] times [`naive`](crate::naive). A missing or doubled term among thousands shows.
pub fn assert_near(what: &str, got: &Tensor, wanted: &[f64], magnitude: &[f64], units: f64) {
    let unit = units * unit(got.dtype());
    // What lies below the smallest normal number may vanish.
    let vanishing = vanishing(got.dtype());
    assert_each(what, got, wanted, |i| unit * magnitude[i] + vanishing);
}

/// Asserts that the inner products `<a.0, a.1>` and `<b.0, b.1>` are one number, to within 8 units of rounding of `magnitude`, the
/// sum of the magnitudes of all products in them: the errors of many elements mostly cancel, those of one need not. `dtype` is that of the results, the inner products are taken in f64.
pub fn assert_adjoint(
    what: &str,
    dtype: DType,
    a: (&[f64], &[f64]),
    b: (&[f64], &[f64]),
    magnitude: f64,
) {
    let dot = |(a, b): (&[f64], &[f64])| -> f64 {
        assert_eq!(a.len(), b.len(), "{what}: lengths of an inner product");
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    };
    let (a, b, allowed) = (dot(a), dot(b), 8.0 * unit(dtype) * magnitude);
    assert!(
        (a - b).abs() <= allowed,
        "{what} in {dtype:?}: {a} and {b} differ by more than {allowed:e}"
    );
}

/// Values that a clamp may not treat as others.
pub const NOT_FINITE: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Asserts that `got` is NaN, infinite of either sign and finite just where `wanted` is.
pub fn assert_alike(what: &str, got: &Tensor, wanted: &[f64]) {
    let kind = |value: f64| match value {
        finite if finite.is_finite() => "finite".to_string(),
        other => other.to_string(),
    };
    let dtype = got.dtype();
    let got = download(got);
    assert_eq!(got.len(), wanted.len(), "{what} in {dtype:?}: elements");
    for (i, (&g, &w)) in got.iter().zip(wanted).enumerate() {
        assert!(
            kind(g) == kind(w),
            "{what} in {dtype:?}, element {i}: {g}, wanted {w}"
        );
    }
}

/// Asserts that two tensors hold the same bits.
pub fn assert_same_bits(what: &str, a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape(), b.shape(), "{what}: shapes");
    let (a, b) = (download(a), download(b));
    let pairs = a.iter().zip(&b).enumerate();
    let differs = pairs
        .into_iter()
        .find(|(_, (a, b))| a.to_bits() != b.to_bits());
    assert_eq!(differs, None, "{what}: first element whose bits differ");
}
