//! Rows that are read in vectors of which the last one is moved back to end with the row: what must not be counted twice.

use crate::lanes::lane_numbers;
use cubecl::prelude::*;

/// Which lanes of a row's last vector lie in no vector before it; `length` elements in `vectors` vectors.
#[cube]
pub(crate) fn fresh<N: Size>(length: usize, vectors: usize) -> Vector<bool, N> {
    let seen = if comptime!(crate::planted::is("tail_counted_twice")) {
        min(length, 0usize)
    } else {
        vectors * N::value() - length
    };
    lane_numbers::<N>().greater_equal(&Vector::new(u32::cast_from(seen)))
}

/// `value` in the lanes of `kept`, 0 in the others.
#[cube]
pub(crate) fn keep<F: Float, N: Size>(kept: Vector<bool, N>, value: Vector<F, N>) -> Vector<F, N> {
    select_many(kept, value, Vector::new(F::new(0.0f32)))
}
