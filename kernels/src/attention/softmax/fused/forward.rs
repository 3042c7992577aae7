use super::tile::{One, lay, multiply, of_keys, turn};
use super::{Extents, Plan, Variant};
use crate::attention::softmax::{AttentionProblem, OP};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::matmul::batched::{Matrices, MatricesLaunch};
use crate::norm::softmax::largest;
use crate::{KernelError, Tensor, launch};
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
    _unaligned: &[S],
    q_at: Matrices,
    k_at: Matrices,
    v_at: Matrices,
    out_at: Matrices,
    extents: Extents,
    scale: InputScalar,
    tiles: usize,
    run: usize,
    #[comptime] variant: Variant,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let Variant {
        queries,
        keys,
        dim_v: by_dim_v,
        ..
    } = comptime!(variant);
    let Extents {
        heads,
        count,
        tokens,
        dim,
        dim_v,
        keys_pitch,
        dim_v_pitch,
        ..
    } = extents;
    let scale = Vector::<F, W>::new(scale.get::<F>());
    // Keys, turned; values; the scores of a tile.
    let keys_first = ABSOLUTE_POS * ((dim + queries) * keys_pitch + tokens * dim_v_pitch);
    let values_first = keys_first + dim * keys_pitch;
    let scores = values_first + tokens * dim_v_pitch;
    let vectors = keys_pitch / W::value();
    let mut item = ABSOLUTE_POS * run;
    let last = min(item + run, tiles * count);
    while item < last {
        let matrix = item / tiles;
        let begin = item - matrix * tiles;
        let end = min(tiles, begin + (last - item));
        item += end - begin;
        let (sample, head) = (matrix / heads, matrix % heads);
        let q_start = q_at.start(sample, head);
        let out_start = out_at.start(sample, head);
        let (k_start, v_start) = (k_at.start(sample, head), v_at.start(sample, head));
        turn::<S, F, W>(
            k, k_start, k_at.pitch, tokens, dim, scratch, keys_first, keys_pitch,
        );
        lay::<S, F, W>(
            v,
            v_start,
            v_at.pitch,
            tokens,
            dim_v,
            scratch,
            values_first,
            dim_v_pitch,
        );
        for tile in begin..end {
            let mut starts = Array::<usize>::new(queries);
            let mut rows = Array::<usize>::new(queries);
            #[unroll]
            for i in 0..queries {
                let query = min(tile * queries + i, tokens - 1);
                starts[i] = q_start + query * q_at.pitch;
                rows[i] = scores + i * keys_pitch;
            }
            for group in 0..vectors / keys {
                let column = group * keys * W::value();
                let acc = multiply::<S, F, W>(
                    q,
                    &starts,
                    &*scratch,
                    keys_first + column,
                    keys_pitch,
                    dim,
                    queries,
                    keys,
                );
                #[unroll]
                for i in 0..queries {
                    let query = min(tile * queries + i, tokens - 1);
                    #[unroll]
                    for j in 0..keys {
                        let column = column + j * W::value();
                        let mut score = acc[i * keys + j] * scale;
                        if comptime!(variant.bias) {
                            let pair = (head * tokens + query) * keys_pitch + column;
                            score += load::<F, F, One, W>(bias, pair);
                        }
                        let score = of_keys::<F, W>(column, tokens, score, f32::NEG_INFINITY);
                        store::<F, F, One, W>(scratch, rows[i] + column, score);
                    }
                }
            }
            for i in 0..queries {
                let row = scores + i * keys_pitch;
                let mut top = load::<F, F, One, W>(&*scratch, row);
                for v in 1..vectors {
                    let score = load::<F, F, One, W>(&*scratch, row + v * W::value());
                    top = select_many(score.greater_than(&top), score, top);
                }
                let max = largest::<F, W>(top);
                let mut sum = Cascade::<F, W>::new();
                for block in 0..blocks(vectors) {
                    let mut part = Vector::<F, W>::new(F::new(0.0f32));
                    for v in block_start(block)..block_end(block, vectors) {
                        let place = row + v * W::value();
                        let score = load::<F, F, One, W>(&*scratch, place);
                        let e = (score - Vector::new(max)).exp();
                        store::<F, F, One, W>(scratch, place, e);
                        part += e;
                    }
                    sum.add(part);
                }
                let share = F::new(1.0f32) / sum.total().vector_sum();
                let query = matrix * tokens + min(tile * queries + i, tokens - 1);
                kept[query * 2] = Vector::new(max);
                kept[query * 2 + 1] = Vector::new(share);
            }
            for group in 0..dim_v_pitch / W::value() / by_dim_v {
                let first = values_first + group * by_dim_v * W::value();
                let acc = multiply::<F, F, W>(
                    &*scratch,
                    &rows,
                    &*scratch,
                    first,
                    dim_v_pitch,
                    tokens,
                    queries,
                    by_dim_v,
                );
                #[unroll]
                for i in 0..queries {
                    let query = tile * queries + i;
                    if query < tokens {
                        let share = kept[(matrix * tokens + query) * 2 + 1].extract(0usize);
                        #[unroll]
                        for j in 0..by_dim_v {
                            let column = channel::<W>(group * by_dim_v + j, dim_v);
                            let value = acc[i * by_dim_v + j] * Vector::new(share);
                            let place = out_start + query * out_at.pitch + column;
                            store::<S, F, One, W>(out, place, value);
                        }
                    }
                }
            }
        }
    }
}

/// Launches the output of a problem that is not empty into `out`, and what the backward pass needs of each query into `kept`; `bias` is
/// laid out over pairs.
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
    let shape = plan.shape;
    let elements = (problem.dim + plan.variant.queries) * shape.keys + problem.tokens * shape.dim_v;
    let wide = dtype.accumulator();
    let scratch = Tensor::room(OP, "scratch", client, &[grid.units, elements], wide)?;
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
            lanes.unaligned(q),
            MatricesLaunch::of(q, heads),
            MatricesLaunch::of(k, heads),
            MatricesLaunch::of(v, heads),
            MatricesLaunch::of(out, heads),
            plan.extents(problem),
            dtype.scalar(problem.options.scale),
            plan.tiles,
            grid.run,
            plan.variant,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
