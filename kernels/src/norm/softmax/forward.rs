use super::team;
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, load, store};
use crate::norm::row::{fresh, keep};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// The softmax of each row. One unit owns a run of rows. `half` where `y` holds 16 bits, which would round the exponentials.
#[cube(launch_unchecked)]
fn softmax_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    rows: usize,
    length: usize,
    vectors: usize,
    run: usize,
    #[comptime] half: bool,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let fresh = fresh::<N>(length, vectors);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, rows);
    for row in first..last {
        let start = row * length;
        let tail = start + length - N::value();
        let end = load::<S, F, B, N>(x, tail);
        let mut top = end;
        for v in 0..vectors - 1 {
            let z = load::<S, F, B, N>(x, start + v * N::value());
            top = select_many(z.greater_than(&top), z, top);
        }
        let max = Vector::<F, N>::new(largest::<F, N>(top));
        let end = (end - max).exp();
        let mut sum = Cascade::<F, N>::new();
        sum.add(keep::<F, N>(fresh, end));
        for block in 0..blocks(vectors - 1) {
            let mut part = zero;
            for v in block_start(block)..block_end(block, vectors - 1) {
                let i = start + v * N::value();
                let e = (load::<S, F, B, N>(x, i) - max).exp();
                if comptime!(!half) {
                    store::<S, F, B, N>(y, i, e);
                }
                part += e;
            }
            sum.add(part);
        }
        let share = Vector::<F, N>::new(F::new(1.0f32) / sum.total().vector_sum());
        for v in 0..vectors - 1 {
            let i = start + v * N::value();
            let e = if comptime!(half) {
                (load::<S, F, B, N>(x, i) - max).exp()
            } else {
                load::<S, F, B, N>(&*y, i)
            };
            store::<S, F, B, N>(y, i, e * share);
        }
        store::<S, F, B, N>(y, tail, end * share);
    }
}

/// The largest lane; NaN may be passed over.
#[cube]
pub(super) fn largest<F: Float, N: Size>(lanes: Vector<F, N>) -> F {
    let mut top = lanes.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        let value = lanes.extract(lane);
        top = select(value > top, value, top);
    }
    if comptime!(crate::planted::is("softmax_without_its_maximum")) {
        F::new(0.0f32)
    } else {
        top
    }
}

/// Launches the softmax of the rows of `length` elements of `x` into `y`.
pub(super) fn launch_softmax(x: &Tensor, y: &Tensor, length: usize) {
    let (client, dtype) = (x.client(), x.dtype());
    if !launch::is_cpu(client) {
        return team::launch_softmax(x, y, length);
    }
    let lanes = Lanes::of(client, dtype, length, &[x, y]);
    let rows = x.len() / length;
    let grid = launch::grid(client, rows);
    let [x_arg, y_arg] = lanes.args_over(x, y);
    // SAFETY: both hold `rows` rows of `length` elements.
    unsafe {
        softmax_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            x_arg,
            y_arg,
            lanes.unaligned(x),
            rows,
            length,
            lanes.vectors(),
            grid.run,
            dtype.is_half(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
