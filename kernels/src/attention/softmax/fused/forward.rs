use super::tile::{One, lay, multiply, note, noted, rows_from, turn};
use super::{Extents, Plan, Variant};
use crate::attention::softmax::{AttentionProblem, OP};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::matmul::batched::{Matrices, MatricesLaunch};
use crate::{DType, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// One unit owns a run of tiles of queries, across samples and heads.
#[cube(launch_unchecked)]
fn attention_forward<S: Float, F: Float, W: Size>(
    q: &[Vector<S, One>],
    k: &[Vector<S, One>],
    v: &[Vector<S, One>],
    bias: &[Vector<F, One>],
    out: &mut [Vector<S, One>],
    kept: &mut [Vector<F, One>],
    scratch: &mut [Vector<F, One>],
    places: &mut [u32],
    _unaligned: &[S],
    q_at: Matrices,
    k_at: Matrices,
    v_at: Matrices,
    out_at: Matrices,
    extents: Extents,
    scale: InputScalar,
    run: usize,
    #[comptime] variant: Variant,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let Variant {
        keys,
        queries,
        dim_v: by_dim_v,
        ..
    } = comptime!(variant);
    let Extents {
        heads,
        count,
        tokens,
        dim,
        dim_v,
        tiles,
        dim_v_pitch,
        ..
    } = extents;
    let lanes = W::value();
    let scale = Vector::<F, W>::new(scale.get::<F>());
    // Queries of a tile, turned; its scores; values.
    let turned = ABSOLUTE_POS * ((dim + tokens) * lanes + tokens * dim_v_pitch);
    let scores = turned + dim * lanes;
    let values = scores + tokens * lanes;
    let groups = (tokens + comptime!(keys - 1)) / keys;
    let key_places = ABSOLUTE_POS * (groups * keys + tiles * lanes);
    let query_places = key_places + groups * keys;
    let mut item = ABSOLUTE_POS * run;
    let last = min(item + run, tiles * count);
    while item < last {
        let matrix = item / tiles;
        let begin = item - matrix * tiles;
        let end = min(tiles, begin + (last - item));
        item += end - begin;
        let (sample, head) = (matrix / heads, matrix % heads);
        let (q_start, k_start) = (q_at.start(sample, head), k_at.start(sample, head));
        let (v_start, out_start) = (v_at.start(sample, head), out_at.start(sample, head));
        lay::<S, F, W>(
            v,
            v_start,
            v_at.pitch,
            tokens,
            dim_v,
            scratch,
            values,
            dim_v_pitch,
        );
        note(
            places,
            key_places,
            groups * keys,
            k_start,
            k_at.pitch,
            tokens,
        );
        note(
            places,
            query_places,
            tiles * lanes,
            q_start,
            q_at.pitch,
            tokens,
        );
        for tile in begin..end {
            let query = tile * lanes;
            turn::<S, F, W>(q, &*places, query_places + query, dim, scratch, turned);
            let mut top = Vector::<F, W>::new(F::min_value());
            for group in 0..groups {
                let first = group * keys;
                let rows = noted(&*places, key_places + first, keys);
                let products =
                    multiply::<S, F, W>(k, &rows, &*scratch, turned, lanes, dim, keys, 1usize);
                #[unroll]
                for i in 0..keys {
                    let key = first + i;
                    if key < tokens {
                        let mut score = products[i] * scale;
                        if comptime!(variant.bias) {
                            // The offset from a key to a query is that from the query to the key.
                            let pair = (head * tokens + key) * (tiles * lanes) + query;
                            score += load::<F, F, One, W>(bias, pair);
                        }
                        top = select_many(score.greater_than(&top), score, top);
                        store::<F, F, One, W>(scratch, scores + key * lanes, score);
                    }
                }
            }
            if comptime!(planted::is("attention_without_the_largest_score")) {
                top = Vector::new(F::new(0.0f32));
            }
            let mut sum = Cascade::<F, W>::new();
            for block in 0..blocks(tokens) {
                let mut part = Vector::<F, W>::new(F::new(0.0f32));
                for key in block_start(block)..block_end(block, tokens) {
                    let place = scores + key * lanes;
                    let e = (load::<F, F, One, W>(&*scratch, place) - top).exp();
                    store::<F, F, One, W>(scratch, place, e);
                    part += e;
                }
                sum.add(part);
            }
            let share = Vector::<F, W>::new(F::new(1.0f32)) / sum.total();
            let tops = matrix * 2 * (tiles * lanes) + query;
            let shares = tops + tiles * lanes;
            store::<F, F, One, W>(kept, tops, top);
            store::<F, F, One, W>(kept, shares, share);
            let there = min(lanes, tokens - query);
            for group in 0..(there + comptime!(queries - 1)) / queries {
                let first = group * queries;
                let rows = rows_from(scores + first, 1usize, lanes, queries);
                for part in 0..dim_v_pitch / lanes / by_dim_v {
                    let column = values + part * by_dim_v * lanes;
                    let sums = multiply::<F, F, W>(
                        &*scratch,
                        &rows,
                        &*scratch,
                        column,
                        dim_v_pitch,
                        tokens,
                        queries,
                        by_dim_v,
                    );
                    #[unroll]
                    for i in 0..queries {
                        if first + i < there {
                            let share = kept[shares + first + i].extract(0usize);
                            let row = out_start + (query + first + i) * out_at.pitch;
                            #[unroll]
                            for j in 0..by_dim_v {
                                let value = sums[i * by_dim_v + j] * Vector::new(share);
                                let column = channel::<W>(part * by_dim_v + j, dim_v);
                                store::<S, F, One, W>(out, row + column, value);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Launches the output of a problem that is not empty into `out`, and what the backward pass needs of each query into `kept`; `bias` is laid
/// out over pairs.
pub(in crate::attention::softmax) fn launch_forward(
    problem: &AttentionProblem,
    [q, k, v]: [&Tensor; 3],
    bias: Option<&Tensor>,
    out: &Tensor,
    kept: &Tensor,
) -> Result<(), KernelError> {
    let (client, dtype) = (q.client(), problem.dtype);
    let heads = problem.options.heads;
    let plan = Plan::of(client, problem);
    let grid = launch::grid(client, plan.tiles * problem.samples * heads);
    let elements = (problem.dim + problem.tokens) * plan.width + problem.tokens * plan.dim_v_pitch;
    let wide = dtype.accumulator();
    let scratch = Tensor::room(OP, "scratch", client, &[grid.units, elements], wide)?;
    let places = plan.key_places(problem) + plan.tokens();
    let places = Tensor::room(OP, "scratch", client, &[grid.units, places], DType::F32)?;
    let lanes = Lanes::of(client, dtype, 1, &[]);
    // SAFETY: the problem relates the extents to the tensors, and the plan rounds the scratch's up to whole vectors.
    unsafe {
        attention_forward::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            plan.width,
            q.buffer(1, 0),
            k.buffer(1, 0),
            v.buffer(1, 0),
            bias.unwrap_or(kept).buffer(1, 0),
            out.buffer(1, 0),
            kept.buffer(1, 0),
            scratch.buffer(1, 0),
            places.arg(1),
            lanes.unaligned(q),
            MatricesLaunch::of(q, heads),
            MatricesLaunch::of(k, heads),
            MatricesLaunch::of(v, heads),
            MatricesLaunch::of(out, heads),
            plan.extents(problem),
            dtype.scalar(problem.options.scale),
            grid.run,
            plan.variant,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
