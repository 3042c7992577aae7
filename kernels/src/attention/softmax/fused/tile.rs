//! What both directions are made of, on buffers of scalars from any of which a vector may start.

use crate::lanes::{channel, load, store};
use crate::planted;
use cubecl::prelude::*;

/// An item of a buffer.
pub(super) type One = Const<1>;

/// Lays rows of `x` out as columns: element `[c, j]` of what starts at `first` is `x[start + j pitch + c]`; columns past the last are the
/// last one again.
#[cube]
pub(super) fn turn<S: Float, F: Float, W: Size>(
    x: &[Vector<S, One>],
    start: usize,
    pitch: usize,
    rows: usize,
    depth: usize,
    to: &mut [Vector<F, One>],
    first: usize,
    to_pitch: usize,
) {
    for v in 0..to_pitch / W::value() {
        let mut starts = Array::<usize>::new(W::value().comptime());
        #[unroll]
        for lane in 0..W::value().comptime() {
            starts[lane] = start + min(v * W::value() + lane, rows - 1) * pitch;
        }
        for c in 0..depth {
            let mut column = Vector::<S, W>::new(S::new(0.0f32));
            #[unroll]
            for lane in 0..W::value().comptime() {
                column.insert(lane, x[starts[lane] + c].extract(0usize));
            }
            let target = first + c * to_pitch + v * W::value();
            store::<F, F, One, W>(to, target, Vector::cast_from(column));
        }
    }
}

/// Copies rows of `x`, each in vectors of which the last, and those past it, are moved back to end with the row.
#[cube]
pub(super) fn lay<S: Float, F: Float, W: Size>(
    x: &[Vector<S, One>],
    start: usize,
    pitch: usize,
    rows: usize,
    columns: usize,
    to: &mut [Vector<F, One>],
    first: usize,
    to_pitch: usize,
) {
    for row in 0..rows {
        for v in 0..to_pitch / W::value() {
            let value = load::<S, F, One, W>(x, start + row * pitch + channel::<W>(v, columns));
            store::<F, F, One, W>(to, first + row * to_pitch + v * W::value(), value);
        }
    }
}

/// The products of rows of `a`, which start at `starts`, with `vectors` vectors of columns of the `depth` rows of `b` from `first` on.
#[cube]
pub(super) fn multiply<A: Float, F: Float, W: Size>(
    a: &[Vector<A, One>],
    starts: &Array<usize>,
    b: &[Vector<F, One>],
    first: usize,
    pitch: usize,
    depth: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
) -> Array<Vector<F, W>> {
    let mut acc = Array::<Vector<F, W>>::new(comptime!(rows * vectors));
    #[unroll]
    for i in 0..comptime!(rows * vectors) {
        acc[i] = Vector::new(F::new(0.0f32));
    }
    for l in 0..depth {
        let mut bv = Array::<Vector<F, W>>::new(vectors);
        #[unroll]
        for j in 0..vectors {
            bv[j] = load::<F, F, One, W>(b, first + l * pitch + j * W::value());
        }
        #[unroll]
        for i in 0..rows {
            let av = Vector::<F, W>::new(F::cast_from(a[starts[i] + l].extract(0usize)));
            #[unroll]
            for j in 0..vectors {
                acc[i * vectors + j] = fma(av, bv[j], acc[i * vectors + j]);
            }
        }
    }
    acc
}

/// Adds the products of columns of `rows` rows from `weights` on with the rows `x` of vectors to those vectors of `count` rows from `first` on.
#[cube]
pub(super) fn add_products<F: Float, W: Size>(
    scratch: &mut [Vector<F, One>],
    weights: usize,
    weights_pitch: usize,
    x: &Array<Vector<F, W>>,
    first: usize,
    pitch: usize,
    count: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
) {
    for j in 0..count {
        let target = first + j * pitch;
        let mut sums = Array::<Vector<F, W>>::new(vectors);
        #[unroll]
        for c in 0..vectors {
            sums[c] = load::<F, F, One, W>(&*scratch, target + c * W::value());
        }
        #[unroll]
        for i in 0..rows {
            let weight = scratch[weights + i * weights_pitch + j].extract(0usize);
            let weight = Vector::<F, W>::new(weight);
            #[unroll]
            for c in 0..vectors {
                sums[c] = fma(weight, x[i * vectors + c], sums[c]);
            }
        }
        #[unroll]
        for c in 0..vectors {
            store::<F, F, One, W>(scratch, target + c * W::value(), sums[c]);
        }
    }
}

/// `value` in the lanes of keys, `other` in those past the last; the first lane is key `first`.
#[cube]
pub(super) fn of_keys<F: Float, W: Size>(
    first: usize,
    tokens: usize,
    value: Vector<F, W>,
    #[comptime] other: f32,
) -> Vector<F, W> {
    let mut lanes = Vector::<u32, W>::new(0u32);
    #[unroll]
    for lane in 0..W::value().comptime() {
        lanes.insert(lane, u32::cast_from(lane));
    }
    let left = u32::cast_from(tokens - min(first, tokens));
    if comptime!(planted::is("attention_to_keys_past_the_end")) {
        value
    } else {
        let there = lanes.less_than(&Vector::new(left));
        select_many(there, value, Vector::new(F::new(other)))
    }
}
