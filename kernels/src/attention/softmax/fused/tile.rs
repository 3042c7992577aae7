//! What both directions are made of, on buffers of scalars from any of which a vector may start.

use crate::lanes::{channel, load, store};
use cubecl::prelude::*;

/// An item of a buffer.
pub(super) type One = Const<1>;

/// Notes where `count` rows lie that begin at `start`, `pitch` apart; those past the last of `rows` are that one again. A kernel reads it from
/// memory, as LLVM would compute a row's place anew for each of its elements, see [`crate::matmul::gemm`].
#[cube]
pub(super) fn note(
    places: &mut [u32],
    first: usize,
    count: usize,
    start: usize,
    pitch: usize,
    rows: usize,
) {
    for row in 0..count {
        places[first + row] = (start + min(row, rows - 1) * pitch) as u32;
    }
}

/// Lays the rows of `x` whose places are noted from `place` on out as columns, one a lane: vector `c` of those from `first` on holds their
/// elements `c`.
#[cube]
pub(super) fn turn<S: Float, F: Float, W: Size>(
    x: &[Vector<S, One>],
    places: &[u32],
    place: usize,
    depth: usize,
    to: &mut [Vector<F, One>],
    first: usize,
) {
    let rows = noted(places, place, W::value().comptime());
    for c in 0..depth {
        let mut column = Vector::<S, W>::new(S::new(0.0f32));
        #[unroll]
        for lane in 0..W::value().comptime() {
            column.insert(lane, x[rows.starts[lane] + c].extract(0usize));
        }
        store::<F, F, One, W>(to, first + c * W::value(), Vector::cast_from(column));
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

/// Where the rows of one factor lie: they start at `starts`, and their elements are `step` apart.
#[derive(CubeType)]
pub(super) struct Rows {
    pub starts: Array<usize>,
    pub step: usize,
}

/// The products of rows of `a` with `vectors` vectors of columns of the `depth` rows of `b` from `first` on.
#[cube]
pub(super) fn multiply<A: Float, F: Float, W: Size>(
    a: &[Vector<A, One>],
    at: &Rows,
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
            let element = a[at.starts[i] + l * at.step].extract(0usize);
            let av = Vector::<F, W>::new(F::cast_from(element));
            #[unroll]
            for j in 0..vectors {
                acc[i * vectors + j] = fma(av, bv[j], acc[i * vectors + j]);
            }
        }
    }
    acc
}

/// `rows` rows whose places are noted from `place` on.
#[cube]
pub(super) fn noted(places: &[u32], place: usize, #[comptime] rows: usize) -> Rows {
    let mut starts = Array::<usize>::new(rows);
    #[unroll]
    for i in 0..rows {
        starts[i] = places[place + i] as usize;
    }
    Rows {
        starts,
        step: 1usize.runtime(),
    }
}

/// `rows` rows of a unit's scratch from `start` on, `pitch` apart. Those past the last are what lies there: nothing is made of them.
#[cube]
pub(super) fn rows_from(start: usize, pitch: usize, step: usize, #[comptime] rows: usize) -> Rows {
    let mut starts = Array::<usize>::new(rows);
    #[unroll]
    for i in 0..rows {
        starts[i] = start + i * pitch;
    }
    Rows { starts, step }
}
