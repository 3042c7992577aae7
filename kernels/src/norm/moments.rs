//! Moments of runs of pixels, channel by channel, on a GPU: what a batch norm and a norm of images have in common.
//!
//! **Robust**: deviations are taken from an origin that is one of the numbers, so that a common offset cancels before it can swallow them.
//! Squares are those of four pixels around their own mean, fours are merged by the distance of their means ([`Merge`]), and so are the
//! units of a column and the runs ([`around`]): no term is below 0, whatever number is far from the others.

use super::batch_norm::stats::Merge;
use super::partials::{Partials, Planes};
use super::runs::{AHEAD, Layout, Runs};
use crate::columns::Columns;
use crate::lanes::{Lanes, load};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// The sum of [`AHEAD`] vectors.
#[cube]
pub(super) fn sum_of_four<F: Float, N: Size>(t: &Array<Vector<F, N>>) -> Vector<F, N> {
    (t[0] + t[1]) + (t[2] + t[3])
}

/// The number at element `start`, in all lanes.
#[cube]
pub(super) fn first_number<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
) -> Vector<F, N> {
    Vector::new(load::<S, F, B, N>(x, start).extract(0usize))
}

/// The squares around the common mean that `count` numbers around a mean `apart` from it come to, whose squares around their own are
/// `squares`.
#[cube]
pub(super) fn around<F: Float, N: Size>(
    squares: Vector<F, N>,
    apart: Vector<F, N>,
    count: usize,
) -> Vector<F, N> {
    fma(
        apart * apart,
        Vector::new(F::cast_from(count as u32)),
        squares,
    )
}

/// For each channel and run the sum of deviations from an origin, and the sum of squared deviations from their mean. The origin is the
/// channel's value in the map's first pixel, or where there is `one` a group, the group's first number. One cube owns a run of pixels and a
/// slice of the channels.
#[cube(launch_unchecked)]
fn moments_by_cubes<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    partials: &mut [Vector<F, N>],
    runs: Runs,
    planes: Planes,
    #[comptime] one: bool,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ahead = comptime!(AHEAD);
    let mut columns = Columns::<F, N>::new(runs.lanes);
    let rows = columns.rows;
    let v = runs.vector(columns.lane);
    let there = runs.there(v);
    let v = min(v, runs.vectors - 1);
    let (from, to) = (runs.from(), runs.to());
    let pitch = runs.vectors * N::value();
    let c = v * N::value();
    let origin = if comptime!(one) {
        first_number::<S, F, B, N>(x, runs.group_start() * pitch)
    } else {
        load::<S, F, B, N>(x, c)
    };
    let mut sum = zero;
    let mut squares = zero;
    let mut known = 0usize.runtime();
    let mut pixel = from + columns.row;
    while pixel < to {
        // Pixels past the end are the last one, and count for nothing.
        let count = min((to - pixel + rows - 1) / rows, ahead);
        let mut deviations = Array::<Vector<F, N>>::new(ahead);
        #[unroll]
        for u in 0..ahead {
            let own = min(pixel + u * rows, to - 1);
            deviations[u] = load::<S, F, B, N>(x, own * pitch + c) - origin;
        }
        #[unroll]
        for u in 0..ahead {
            if u >= count {
                deviations[u] = zero;
            }
        }
        let merge = Merge::<F>::new(known, count);
        let four = sum_of_four::<F, N>(&deviations);
        let mean = four * Vector::new(merge.by_count);
        #[unroll]
        for u in 0..ahead {
            let d = deviations[u] - mean;
            deviations[u] = d * d;
            if u >= count {
                deviations[u] = zero;
            }
        }
        squares += merge.squares::<N>(sum, four, sum_of_four::<F, N>(&deviations));
        sum += four;
        known += count;
        pixel += rows * ahead;
    }
    let all = columns.sum(sum);
    let own = sum / Vector::new(F::cast_from(max(known, 1) as u32));
    let apart = own - all / Vector::new(F::cast_from((to - from) as u32));
    let squares = columns.sum(around::<F, N>(squares, apart, known));
    if there && columns.row == 0 {
        partials[planes.index(0usize, runs.run(), v)] = all;
        partials[planes.index(1usize, runs.run(), v)] = squares;
    }
}

/// Launches the moments of `layout`'s runs of `x` into `partials`, deviations and squares; `one` origin a group, or one a channel.
pub(super) fn launch_moments(
    x: &Tensor,
    layout: &Layout,
    partials: &Partials,
    lanes: &Lanes,
    one: bool,
) {
    let client = x.client();
    // SAFETY: the layout's pixels are those of `x`, and `partials` has room for its runs; units without a vector write nothing.
    unsafe {
        moments_by_cubes::launch_unchecked(
            client,
            layout.cubes.count.clone(),
            layout.cubes.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            partials.scratch.arg(lanes.width),
            layout.arg(),
            partials.arg(),
            one,
            x.dtype().elems(),
        );
    }
    launch::throttle(client);
}
