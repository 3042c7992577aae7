//! Rounding that the host's processor does not do by itself.

/// 0 for a number too small for a full mantissa, with its sign: `.ftz`.
pub(super) fn flushed(value: f32) -> f32 {
    if value.is_subnormal() {
        0f32.copysign(value)
    } else {
        value
    }
}

/// `a b + c`, rounded towards minus infinity.
///
/// The product of two numbers of 24 bits is exact in 53. The error of its sum with `c` is known exactly (Knuth's two-sum), so that it is known
/// on which side of the sum the true value lies.
pub(super) fn fma_down(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let nearest = sum as f32;
    if !sum.is_finite() || nearest == f32::NEG_INFINITY {
        return nearest;
    }
    let other = sum - product;
    let error = (product - (sum - other)) + (c - other);
    let above = f64::from(nearest) - sum;
    if above > 0.0 || above == 0.0 && error < 0.0 {
        nearest.next_down()
    } else {
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_rounded_down_on_both_sides_of_zero() {
        let tiny = f32::EPSILON / 8.0;
        assert_eq!(fma_down(1.0, 1.0, tiny), 1.0);
        assert_eq!(fma_down(1.0, 1.0, -tiny), 1f32.next_down());
        assert_eq!(fma_down(-1.0, 1.0, -tiny), (-1f32).next_down());
        assert_eq!(fma_down(-1.0, 1.0, tiny), -1.0);
        assert_eq!(fma_down(3.0, 5.0, 7.0), 22.0);
        // The error of the sum alone says that it lies below.
        assert_eq!(fma_down(1.0, 1.0, -1e-30), 1f32.next_down());
        assert!(fma_down(f32::NAN, 1.0, 1.0).is_nan());
    }

    #[test]
    fn denormal_numbers_become_zeros_of_their_sign() {
        assert_eq!(flushed(-1e-40).to_bits(), (-0f32).to_bits());
        assert_eq!(flushed(1e-37), 1e-37);
    }
}
