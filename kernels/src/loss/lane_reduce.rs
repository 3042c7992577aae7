//! The lanes of a vector folded into one number, which every lane of the result holds.
//!
//! Each step meets a vector with itself, turned by half as many lanes as the step before: a shuffle and one operation, where lanes
//! taken out one by one cost two instructions each. Both sides of a step hold the same pairs, so that all lanes end with the same
//! bits.

use cubecl::prelude::*;

/// The lanes moved down by `by` places, in a circle.
#[cube]
fn rotated<F: Float, N: Size>(vector: Vector<F, N>, #[comptime] by: usize) -> Vector<F, N> {
    let mut out = vector;
    let width = N::value().comptime();
    #[unroll]
    for lane in 0..width {
        out.insert(lane, vector.extract(comptime!((lane + by) % width)));
    }
    out
}

/// The sum of all lanes.
#[cube]
pub(super) fn total<F: Float, N: Size>(vector: Vector<F, N>) -> Vector<F, N> {
    let mut sum = vector;
    let width = N::value().comptime();
    #[unroll]
    for step in 0..comptime!(width.ilog2() as usize) {
        sum += rotated::<F, N>(sum, comptime!(width >> (step + 1)));
    }
    sum
}

/// The largest of all lanes, none of which is a NaN.
#[cube]
pub(super) fn top<F: Float, N: Size>(vector: Vector<F, N>) -> Vector<F, N> {
    let mut top = vector;
    let width = N::value().comptime();
    #[unroll]
    for step in 0..comptime!(width.ilog2() as usize) {
        top = larger::<F, N>(rotated::<F, N>(top, comptime!(width >> (step + 1))), top);
    }
    top
}

/// The larger of each two lanes; that of `b` where that of `a` is a NaN.
#[cube]
pub(super) fn larger<F: Float, N: Size>(a: Vector<F, N>, b: Vector<F, N>) -> Vector<F, N> {
    select_many(a.greater_than(&b), a, b)
}
