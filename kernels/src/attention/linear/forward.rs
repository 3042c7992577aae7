use super::tile::{
    One, Part, Prologue, Tile, dot, multiply, sum_products, sum_tokens, tiles, token,
};
use super::{LinearAttentionProblem, OP};
use crate::lanes::{Lanes, View, channel, store};
use crate::norm::row::fresh;
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// `y = q S / (q . z + epsilon)`. One unit owns a run of pairs of a sample and a group; its scratch holds the state and `z`.
#[cube(launch_unchecked)]
fn linear_attention_kernel<S: Float, F: Float, N: Size>(
    qkv: &[Vector<S, One>],
    y: &mut [Vector<S, One>],
    scratch: &mut [Vector<F, One>],
    _unaligned: &[S],
    qkv_view: View,
    y_view: View,
    epsilon: InputScalar,
    tokens: usize,
    groups: usize,
    head: usize,
    pairs: usize,
    run: usize,
    #[comptime] tile: Tile,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let (vectors, many) = comptime!((tile.vectors, tile.tokens));
    let fresh = fresh::<N>(head, vectors);
    let epsilon = epsilon.get::<F>();
    let state = ABSOLUTE_POS * (head + 1) * head;
    let keys = state + head * head;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, pairs);
    for pair in first..last {
        let pixel = pair / groups * tokens;
        let offset = pair % groups * head;
        let q = Part::new(&qkv_view, pixel, 3 * offset);
        let k = Part::new(&qkv_view, pixel, 3 * offset + head);
        let v = Part::new(&qkv_view, pixel, 3 * offset + 2 * head);
        let to = Part::new(&y_view, pixel, offset);
        let prologue = comptime!(Prologue {
            relu_rows: true,
            relu_lanes: false,
            weighted: false,
        });
        sum_products::<S, S, F, N>(
            qkv, &k, qkv, &v, 0usize, scratch, state, tokens, head, prologue, tile,
        );
        sum_tokens::<S, F, N>(qkv, &k, 0usize, scratch, keys, tokens, head, false, tile);
        for index in 0..tiles(tokens, tile) {
            let products =
                multiply::<S, F, N>(qkv, &q, &*scratch, state, index, tokens, head, true, tile);
            #[unroll]
            for t in 0..many {
                let i = token(index, t, tokens, tile);
                let mut divisor = dot::<S, F, N>(qkv, q.at(i), &*scratch, keys, head, fresh, tile);
                if comptime!(!planted::is("linear_attention_without_epsilon")) {
                    divisor += epsilon;
                }
                #[unroll]
                for v in 0..vectors {
                    let value = products[t * vectors + v] / Vector::new(divisor);
                    store::<S, F, One, N>(y, to.at(i) + channel::<N>(v, head), value);
                }
            }
        }
    }
}

/// Launches the attention of `qkv` into `y`.
pub(super) fn launch_forward(
    problem: &LinearAttentionProblem,
    qkv: &Tensor,
    epsilon: f64,
    y: &Tensor,
) -> Result<(), KernelError> {
    let (client, dtype, head) = (qkv.client(), problem.dtype, problem.head);
    let lanes = Lanes::of(client, dtype, head, &[qkv, y]);
    let grid = launch::grid(client, problem.pairs());
    let room = [grid.units, head + 1, head];
    let scratch = Tensor::room(OP, "scratch", client, &room, dtype.accumulator())?;
    // SAFETY: `LinearAttentionProblem` relates the extents; each unit has a state and a row in `scratch`.
    unsafe {
        linear_attention_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.width,
            lanes.arg(qkv),
            lanes.arg(y),
            scratch.arg(1),
            lanes.unaligned(qkv),
            qkv.view(),
            y.view(),
            dtype.scalar(epsilon),
            problem.tokens,
            problem.groups,
            head,
            problem.pairs(),
            grid.run,
            Tile::of(&lanes),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
