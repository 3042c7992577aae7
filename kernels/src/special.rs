//! Numbers that are none: NaN and infinity inside a kernel.
//!
//! A constant would not do: WGSL has no way to write one, and refuses an expression that it can evaluate to one. These are made of
//! bits that no compiler knows before the launch.

use cubecl::prelude::*;

/// Not a number.
#[cube]
pub(crate) fn nan<F: Float>() -> F {
    let unit = u32::cast_from(ABSOLUTE_POS);
    // No launch has two thousand million units: the maximum is always the constant.
    F::cast_from(f32::reinterpret(max(0x7fc0_0000u32, unit)))
}

/// Whether `x` is not a number.
#[cube]
pub(crate) fn is_nan<F: Float>(x: F) -> bool {
    Vector::<F, Const<1>>::new(x).is_nan().extract(0usize)
}

/// Minus infinity.
#[cube]
pub(crate) fn minus_infinity<F: Float>() -> F {
    let unit = u32::cast_from(ABSOLUTE_POS);
    F::cast_from(f32::reinterpret(max(0xff80_0000u32, unit)))
}
