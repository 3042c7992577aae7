//! A row of any length as vectors that may start at any address: which lanes a sum may count, and where the row's extremes are.
//!
//! Where a length is no multiple of the vector, the last vector is moved back into its neighbour ([`channel`]). Its [`fresh`] lanes
//! are those that no vector before it held: a sum takes these alone. Sums run in blocks ([`crate::cascade`]).

use crate::cascade::{Cascade, block_end, block_start, blocks};
pub(super) use crate::lanes::lane_numbers;
use crate::lanes::{channel, load};
use crate::special::nan;
use cubecl::prelude::*;

/// Whether each lane of vector `v`, which starts at element `at` of its row, lies in no vector before it.
#[cube]
pub(super) fn fresh<N: Size>(v: usize, at: usize) -> Vector<bool, N> {
    let known = u32::cast_from(v * N::value() - at);
    let known = if comptime!(crate::planted::is("loss_row_tail")) {
        0u32.runtime()
    } else {
        known
    };
    lane_numbers::<N>().greater_equal(&Vector::new(known))
}

/// Whether each lane of the vector that starts at element `at` of its row is `class`.
#[cube]
pub(super) fn is_class<N: Size>(at: usize, class: usize) -> Vector<bool, N> {
    // Before the class' vector the difference wraps to a number past every lane.
    lane_numbers::<N>().equal(&Vector::new(u32::cast_from(class) - u32::cast_from(at)))
}

/// One element of the row that starts at element `start` of its buffer.
#[cube]
pub(super) fn element<S: Float, F: Float, B: Size>(
    x: &[Vector<S, B>],
    start: usize,
    index: usize,
) -> F {
    load::<S, F, B, B>(x, (start + index) / B::value() * B::value())
        .extract_dynamic((start + index) % B::value())
}

/// The largest element of the row, to be taken from every logit before its exponential; NaN where a logit is infinite, or so far
/// from another that the difference times `inverse_t` is. A NaN logit may leave it a number, and shows in the exponentials' sum.
#[cube]
pub(super) fn row_max<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    length: usize,
    vectors: usize,
    inverse_t: F,
) -> F {
    let mut high = load::<S, F, B, N>(x, start);
    let mut low = high;
    for v in 1..vectors {
        let z = load::<S, F, B, N>(x, start + channel::<N>(v, length));
        high = select_many(z.greater_than(&high), z, high);
        low = select_many(z.less_than(&low), z, low);
    }
    let (top, bottom) = (highest::<F, N>(high), -highest::<F, N>(-low));
    where_finite::<F>(top, (top - bottom) * inverse_t)
}

/// The largest lane.
#[cube]
pub(super) fn highest<F: Float, N: Size>(lanes: Vector<F, N>) -> F {
    let mut top = lanes.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        let value = lanes.extract(lane);
        top = select(value > top, value, top);
    }
    top
}

/// `value`, or NaN where `magnitude` is infinite: what was computed from it may look like a number and mean nothing.
#[cube]
pub(super) fn where_finite<F: Float>(value: F, magnitude: F) -> F {
    let infinite = Vector::<F, Const<1>>::new(magnitude).is_inf();
    let nan = Vector::<F, Const<1>>::new(nan::<F>());
    select_many(infinite, nan, Vector::new(value)).extract(0usize)
}

/// The sum of `exp((z - shift) inverse_t)` over the row.
#[cube]
pub(super) fn exponential_sum<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    length: usize,
    vectors: usize,
    shift: F,
    inverse_t: F,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let (shift, scale) = (Vector::<F, N>::new(shift), Vector::<F, N>::new(inverse_t));
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(vectors) {
        let mut part = zero;
        for v in block_start(block)..block_end(block, vectors) {
            let at = channel::<N>(v, length);
            let e = ((load::<S, F, B, N>(x, start + at) - shift) * scale).exp();
            part += select_many(fresh::<N>(v, at), e, zero);
        }
        sum.add(part);
    }
    sum.total().vector_sum()
}
