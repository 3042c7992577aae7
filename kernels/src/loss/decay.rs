//! `exp(d / T)` of distances `d` to a row's maximum, which are never above 0, and logarithms of what such exponentials sum up to.

use crate::{DType, launch};
use cubecl::prelude::*;
use std::f32::consts::{LN_2, SQRT_2};
use std::f64::consts::LOG2_E;

/// 1.5 times 2^23: added to an f32 between -2^22 and 2^22 it leaves the nearest integer in the lowest bits of the mantissa. The
/// exponent of 1.0 comes on top: shifted to the exponent's place, those bits are the power of two whose exponent is the integer.
const ROUNDER: f32 = 12_582_912.0 + 127.0;
/// Bits of an f32's mantissa.
const MANTISSA: u32 = 23;
/// Where `2^x` is rounded to 0: past the smallest normal number.
const LOWEST: f64 = -127.0;
/// The polynomial of degree 6 nearest to `2^x` over `|x| <= 1/2`, relatively; off by 1.9e-9.
const POWERS: [f32; 7] = [
    1.0,
    LN_2,
    0.240_226_47,
    0.055_503_288,
    0.009_618_489,
    0.001_339_993_1,
    0.000_153_458_12,
];

/// The bits of an f32's mantissa alone, of `sqrt(1/2)`, and of 1.
const MANTISSA_BITS: u32 = 0x007f_ffff;
const LEAST_FRACTION: u32 = 0x3f35_04f3;
const ONE: u32 = 0x3f80_0000;
/// What is added to the exponent's bits.
const BIAS: f32 = 127.0;
/// The polynomial `p` of degree 7 for which `f + p(f) f^2` is nearest to `ln(1 + f)` over `sqrt(1/2) <= 1 + f <= sqrt(2)`, relatively,
/// its first coefficient kept at -1/2; off by 3.5e-8.
const FRACTIONS: [f32; 8] = [
    -0.5,
    0.333_339_1,
    -0.250_013_38,
    0.199_630_63,
    -0.165_775_84,
    0.149_147_67,
    -0.142_674_95,
    0.087_004_44,
];

/// How a kernel computes its exponentials and logarithms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Exponential {
    /// The device's own.
    Device,
    /// The polynomials of `decay` and `logarithm`.
    Polynomial,
}

impl Exponential {
    /// A CPU's vectors of f32 are worth a polynomial; GPUs have an instruction, f64 is there for gradient checks.
    pub fn of(client: &crate::Client, dtype: DType) -> Self {
        match dtype {
            DType::F32 if launch::is_cpu(client) => Self::Polynomial,
            _ => Self::Device,
        }
    }
}

/// The constants of [`decay`] for one temperature.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Rate {
    /// `log2(e) / T` for the polynomial, `1 / T` for the device.
    pub rate: InputScalar,
    /// The distance at which the polynomial's result is 0.
    pub floor: InputScalar,
}

impl Rate {
    pub fn of(exponential: Exponential, dtype: DType, temperature: f64) -> RateLaunch {
        if exponential == Exponential::Device {
            return RateLaunch::new(dtype.scalar(1.0 / temperature), dtype.scalar(0.0));
        }
        // The element type holds 1 / T, but perhaps not a number half as large again.
        let rate = (LOG2_E / temperature).min(f64::from(f32::MAX));
        RateLaunch::new(dtype.scalar(rate), dtype.scalar(LOWEST / rate))
    }
}

/// `exp(d / T)` for `d <= 0`; NaN for NaN, and 0 where the result would be subnormal.
///
/// With `x = d log2(e) / T`, rounded to the integer `n`, this is `2^(x - n)` by a polynomial, times the number whose exponent bits
/// are `n`'s.
#[cube]
pub(super) fn decay<F: Float, N: Size>(
    d: Vector<F, N>,
    rate: F,
    floor: F,
    #[comptime] exponential: Exponential,
) -> Vector<F, N> {
    if comptime!(exponential == Exponential::Device) {
        (d * Vector::new(rate)).exp()
    } else {
        let floor = Vector::<F, N>::new(floor);
        let rate = Vector::<F, N>::new(rate);
        let rounder = Vector::<F, N>::new(F::new(ROUNDER));
        let d = select_many(d.less_than(&floor), floor, d);
        let shifted = fma(d, rate, rounder);
        let n = shifted - rounder;
        let x = fma(d, rate, -n);
        let mut power = Vector::<F, N>::new(F::new(comptime!(POWERS[6])));
        #[unroll]
        for i in 1..7usize {
            power = fma(power, x, Vector::new(F::new(comptime!(POWERS[6 - i]))));
        }
        let scale = Vector::<u32, N>::reinterpret(shifted) << Vector::new(MANTISSA);
        power * Vector::<F, N>::reinterpret(scale)
    }
}

/// `exp(d)` for `d <= 0`, as `decay` computes it.
#[cube]
pub fn fall<F: Float, N: Size>(
    d: Vector<F, N>,
    #[comptime] exponential: Exponential,
) -> Vector<F, N> {
    if comptime!(exponential == Exponential::Device) {
        d.exp()
    } else {
        let (rate, floor) = comptime!((LOG2_E as f32, (LOWEST / LOG2_E) as f32));
        decay::<F, N>(d, F::new(rate), F::new(floor), exponential)
    }
}

/// `ln(x)` of a normal number above 0; NaN for NaN and infinity.
///
/// With `x = 2^n (1 + f)`, the fraction between `sqrt(1/2)` and `sqrt(2)`, this is `n ln(2) + ln(1 + f)`, the latter by a polynomial.
#[cube]
pub fn logarithm<F: Float, N: Size>(
    x: Vector<F, N>,
    #[comptime] exponential: Exponential,
) -> Vector<F, N> {
    if comptime!(exponential == Exponential::Device) {
        x.ln()
    } else {
        let bits = Vector::<u32, N>::reinterpret(x) + Vector::new(comptime!(ONE - LEAST_FRACTION));
        let exponent = Vector::<i32, N>::cast_from(bits >> Vector::new(MANTISSA));
        let n = Vector::<F, N>::cast_from(exponent) - Vector::new(F::new(BIAS));
        let fraction = (bits & Vector::new(MANTISSA_BITS)) + Vector::new(LEAST_FRACTION);
        let f = Vector::<F, N>::reinterpret(fraction) - Vector::new(F::new(1.0f32));
        // What is no number has bits like any other: it is kept by a product that adds nothing else.
        let n = fma(x, Vector::new(F::new(0.0f32)), n);
        fma(
            n,
            Vector::new(F::new(LN_2)),
            fma(past_linear::<F, N>(f), f * f, f),
        )
    }
}

/// Terms of the series of `artanh` in [`ln_past_one`]: at 1/3 the next is less than 1e-17 of the sum.
const ODD_TERMS: usize = 16;

/// `ln(1 + e)` for `0 <= e <= 1`, with its full relative precision where `e` is small; NaN for NaN.
///
/// Nothing is added to `e` that would round it and would have to be taken off again: a compiler may take `(1 + e) - 1` for `e`, as those of
/// GPUs do, and the rounding would stay. A device takes `2 artanh(e / (2 + e))`, whose argument loses nothing. The polynomial's
/// fraction is `e` itself up to `sqrt(2) - 1`, past it `(e - 1) / 2`, and the logarithm of 2 then comes on top.
#[cube]
pub(super) fn ln_past_one<F: Float, N: Size>(
    e: Vector<F, N>,
    #[comptime] exponential: Exponential,
) -> Vector<F, N> {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    if comptime!(crate::planted::is("log_of_a_rounded_sum")) {
        logarithm::<F, N>(one + e, exponential)
    } else if comptime!(exponential == Exponential::Device) {
        let z = e / (one + one + e);
        let square = z * z;
        let mut series = Vector::<F, N>::new(F::new(0.0f32));
        #[unroll]
        for i in 0..ODD_TERMS {
            let odd = comptime!((2 * (ODD_TERMS - i) - 1) as u32);
            let coefficient = F::new(1.0f32) / F::cast_from(odd.runtime());
            series = fma(series, square, Vector::new(coefficient));
        }
        (z + z) * series
    } else {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        let half = Vector::<F, N>::new(F::new(0.5f32));
        let large = e.greater_than(&Vector::new(F::new(comptime!(SQRT_2 - 1.0))));
        let f = select_many(large, fma(e, half, -half), e);
        let twice = select_many(large, Vector::new(F::new(LN_2)), zero);
        twice + fma(past_linear::<F, N>(f), f * f, f)
    }
}

/// `(ln(1 + f) - f) / f^2` by its polynomial.
#[cube]
fn past_linear<F: Float, N: Size>(f: Vector<F, N>) -> Vector<F, N> {
    let mut series = Vector::<F, N>::new(F::new(comptime!(FRACTIONS[7])));
    #[unroll]
    for i in 1..8usize {
        series = fma(series, f, Vector::new(F::new(comptime!(FRACTIONS[7 - i]))));
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomial_is_the_logarithm_of_every_fraction() {
        let (least, steps) = (f64::from(f32::from_bits(LEAST_FRACTION)), 100_000);
        let mut worst = 0.0f64;
        for step in 0..=steps {
            let f = least * (1.0 + f64::from(step) / f64::from(steps)) - 1.0;
            if f.abs() < 1e-6 {
                continue;
            }
            let coefficients = FRACTIONS.iter().rev();
            let p = coefficients.fold(0.0, |sum, &c| sum * f + f64::from(c));
            worst = worst.max(((f + p * f * f) / f.ln_1p() - 1.0).abs());
        }
        assert!(worst < 3.5e-8, "{worst}");
    }
}
