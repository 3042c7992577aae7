//! How far a right result may be off.

use crate::DType;

/// The error of a naive sequential sum of `terms` terms, in units of rounding of the sum of their magnitudes.
///
/// Where all terms are of one sign, the partial sums that are rounded grow in proportion, and independent errors of half a unit at
/// most add up to an eighth of the square root of `terms`; this is twice that, two standard errors. Terms of random sign err by
/// about a quarter of a unit, whatever their number. A sum of two or three terms is off by one unit at worst.
pub fn naive(terms: usize) -> f64 {
    1.0 + (terms as f64).sqrt() / 4.0
}

/// The rounding unit of a comparison with a reference in f64, relative to what is rounded: in f64 itself the reference rounds as well.
pub fn unit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-10),
        DType::Bf16 => 2f64.powi(-7),
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => 2.0 * f64::EPSILON,
    }
}

/// The smallest normal number: what lies below may vanish.
pub fn vanishing(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-14),
        DType::Bf16 | DType::F32 => f64::from(f32::MIN_POSITIVE),
        DType::F64 => f64::MIN_POSITIVE,
    }
}
