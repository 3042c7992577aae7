//! `exp(d / T)` of distances `d` to a row's maximum, which are never above 0.

use crate::{DType, launch};
use cubecl::prelude::*;
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
    std::f32::consts::LN_2,
    0.240_226_47,
    0.055_503_288,
    0.009_618_489,
    0.001_339_993_1,
    0.000_153_458_12,
];

/// How a kernel computes its exponentials.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Exponential {
    /// The device's own.
    Device,
    /// [`decay`]'s polynomial.
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
