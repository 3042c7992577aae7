use super::team;
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, load, store};
use crate::norm::row::{fresh, keep};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `out = y (grad - sum of grad y)`, row by row. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn softmax_grad<S: Float, F: Float, B: Size, N: Size>(
    y: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    rows: usize,
    length: usize,
    vectors: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let fresh = fresh::<N>(length, vectors);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, rows);
    for row in first..last {
        let start = row * length;
        let tail = start + length - N::value();
        let (end_y, end) = (load::<S, F, B, N>(y, tail), load::<S, F, B, N>(grad, tail));
        let mut product = Cascade::<F, N>::new();
        product.add(keep::<F, N>(fresh, end * end_y));
        for block in 0..blocks(vectors - 1) {
            let mut part = zero;
            for v in block_start(block)..block_end(block, vectors - 1) {
                let i = start + v * N::value();
                part = fma(load::<S, F, B, N>(grad, i), load::<S, F, B, N>(y, i), part);
            }
            product.add(part);
        }
        let mean = Vector::<F, N>::new(product.total().vector_sum());
        for v in 0..vectors - 1 {
            let i = start + v * N::value();
            let value = load::<S, F, B, N>(y, i) * (load::<S, F, B, N>(grad, i) - mean);
            store::<S, F, B, N>(out, i, value);
        }
        store::<S, F, B, N>(out, tail, end_y * (end - mean));
    }
}

/// Launches the gradient of the rows of `length` elements into `out`.
pub(super) fn launch_backward(y: &Tensor, grad: &Tensor, out: &Tensor, length: usize) {
    let (client, dtype) = (y.client(), y.dtype());
    if !launch::is_cpu(client) {
        return team::launch_backward(y, grad, out, length);
    }
    let lanes = Lanes::of(client, dtype, length, &[y, grad, out]);
    let rows = y.len() / length;
    let grid = launch::grid(client, rows);
    let [grad_arg, out_arg] = lanes.args_over_at(1, grad, out);
    // SAFETY: all three hold `rows` rows of `length` elements.
    unsafe {
        softmax_grad::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(y),
            grad_arg,
            out_arg,
            lanes.unaligned(y),
            rows,
            length,
            lanes.vectors(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
