use super::tile::{One, add_products, lay, multiply, of_keys, turn};
use super::{Extents, Plan, Variant};
use crate::attention::softmax::{AttentionProblem, OP};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::matmul::batched::{Matrices, MatricesLaunch};
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Where the matrices of the tensors lie, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Places {
    q: Matrices,
    k: Matrices,
    v: Matrices,
    grad: Matrices,
    grad_q: Matrices,
    grad_k: Matrices,
    grad_v: Matrices,
}

/// One unit owns a run of samples and heads.
#[cube(launch_unchecked)]
fn attention_backward<S: Float, F: Float, W: Size>(
    q: &[Vector<S, One>],
    k: &[Vector<S, One>],
    v: &[Vector<S, One>],
    bias: &[Vector<F, One>],
    kept: &[Vector<F, One>],
    grad: &[Vector<S, One>],
    grad_q: &mut [Vector<S, One>],
    grad_k: &mut [Vector<S, One>],
    grad_v: &mut [Vector<S, One>],
    grad_scores: &mut [Vector<F, One>],
    scratch: &mut [Vector<F, One>],
    _unaligned: &[S],
    at: Places,
    extents: Extents,
    scale: InputScalar,
    slope: InputScalar,
    run: usize,
    #[comptime] variant: Variant,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let Variant {
        queries,
        keys,
        dim: by_dim,
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
        dim_pitch,
        dim_v_pitch,
    } = extents;
    let zero = Vector::<F, W>::new(F::new(0.0f32));
    let scale = Vector::<F, W>::new(scale.get::<F>());
    let slope = Vector::<F, W>::new(slope.get::<F>());
    // Keys and values, turned; keys; the gradients of keys and values so far; probabilities and gradients of the scores of a tile.
    let turned_k = ABSOLUTE_POS
        * ((dim + dim_v + 2 * queries) * keys_pitch + tokens * (2 * dim_pitch + dim_v_pitch));
    let turned_v = turned_k + dim * keys_pitch;
    let laid_k = turned_v + dim_v * keys_pitch;
    let sum_k = laid_k + tokens * dim_pitch;
    let sum_v = sum_k + tokens * dim_pitch;
    let probabilities = sum_v + tokens * dim_v_pitch;
    let slopes = probabilities + queries * keys_pitch;
    let vectors = keys_pitch / W::value();
    let first = ABSOLUTE_POS * run;
    for matrix in first..min(first + run, count) {
        let (sample, head) = (matrix / heads, matrix % heads);
        let (q_start, k_start) = (at.q.start(sample, head), at.k.start(sample, head));
        let (v_start, grad_start) = (at.v.start(sample, head), at.grad.start(sample, head));
        turn::<S, F, W>(
            k, k_start, at.k.pitch, tokens, dim, scratch, turned_k, keys_pitch,
        );
        turn::<S, F, W>(
            v, v_start, at.v.pitch, tokens, dim_v, scratch, turned_v, keys_pitch,
        );
        lay::<S, F, W>(
            k, k_start, at.k.pitch, tokens, dim, scratch, laid_k, dim_pitch,
        );
        for i in 0..tokens * (dim_pitch + dim_v_pitch) / W::value() {
            store::<F, F, One, W>(scratch, sum_k + i * W::value(), zero);
        }
        for tile in 0..(tokens + comptime!(queries - 1)) / queries {
            let mut starts = Array::<usize>::new(queries);
            let mut grad_starts = Array::<usize>::new(queries);
            let mut slope_rows = Array::<usize>::new(queries);
            let mut max = Array::<F>::new(queries);
            let mut share = Array::<F>::new(queries);
            #[unroll]
            for i in 0..queries {
                let query = min(tile * queries + i, tokens - 1);
                starts[i] = q_start + query * at.q.pitch;
                grad_starts[i] = grad_start + query * at.grad.pitch;
                slope_rows[i] = slopes + i * keys_pitch;
                max[i] = kept[(matrix * tokens + query) * 2].extract(0usize);
                let own = kept[(matrix * tokens + query) * 2 + 1].extract(0usize);
                let there = tile * queries + i < tokens;
                share[i] = if comptime!(planted::is("attention_of_queries_past_the_end")) {
                    own
                } else {
                    select(there, own, F::new(0.0f32))
                };
            }
            for group in 0..vectors / keys {
                let column = group * keys * W::value();
                let scores = multiply::<S, F, W>(
                    q,
                    &starts,
                    &*scratch,
                    turned_k + column,
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
                        let mut score = scores[i * keys + j] * scale;
                        if comptime!(variant.bias) {
                            let pair = (head * tokens + query) * keys_pitch + column;
                            score += load::<F, F, One, W>(bias, pair);
                        }
                        let p = (score - Vector::new(max[i])).exp() * Vector::new(share[i]);
                        let p = of_keys::<F, W>(column, tokens, p, 0.0f32);
                        let place = probabilities + i * keys_pitch + column;
                        store::<F, F, One, W>(scratch, place, p);
                    }
                }
                let by_p = multiply::<S, F, W>(
                    grad,
                    &grad_starts,
                    &*scratch,
                    turned_v + column,
                    keys_pitch,
                    dim_v,
                    queries,
                    keys,
                );
                #[unroll]
                for i in 0..queries {
                    #[unroll]
                    for j in 0..keys {
                        let column = column + j * W::value();
                        let value = of_keys::<F, W>(column, tokens, by_p[i * keys + j], 0.0f32);
                        store::<F, F, One, W>(scratch, slope_rows[i] + column, value);
                    }
                }
            }
            for i in 0..queries {
                let (p_row, row) = (probabilities + i * keys_pitch, slopes + i * keys_pitch);
                let mut product = Cascade::<F, W>::new();
                for block in 0..blocks(vectors) {
                    let mut part = zero;
                    for v in block_start(block)..block_end(block, vectors) {
                        let p = load::<F, F, One, W>(&*scratch, p_row + v * W::value());
                        let by_p = load::<F, F, One, W>(&*scratch, row + v * W::value());
                        part = fma(p, by_p, part);
                    }
                    product.add(part);
                }
                let mean = Vector::<F, W>::new(product.total().vector_sum());
                let query = tile * queries + i;
                for v in 0..vectors {
                    let column = v * W::value();
                    let p = load::<F, F, One, W>(&*scratch, p_row + column);
                    let value = p * (load::<F, F, One, W>(&*scratch, row + column) - mean);
                    store::<F, F, One, W>(scratch, row + column, value);
                    if comptime!(variant.bias) {
                        if query < tokens {
                            let pair = (matrix * tokens + query) * keys_pitch + column;
                            store::<F, F, One, W>(grad_scores, pair, value);
                        }
                    }
                }
            }
            let out_start = at.grad_q.start(sample, head);
            for group in 0..dim_pitch / W::value() / by_dim {
                let column = group * by_dim * W::value();
                let acc = multiply::<F, F, W>(
                    &*scratch,
                    &slope_rows,
                    &*scratch,
                    laid_k + column,
                    dim_pitch,
                    tokens,
                    queries,
                    by_dim,
                );
                let mut rows = Array::<Vector<F, W>>::new(comptime!(queries * by_dim));
                #[unroll]
                for i in 0..queries {
                    let query = tile * queries + i;
                    #[unroll]
                    for j in 0..by_dim {
                        let channel = channel::<W>(group * by_dim + j, dim);
                        rows[i * by_dim + j] = load::<S, F, One, W>(q, starts[i] + channel);
                        if query < tokens {
                            let place = out_start + query * at.grad_q.pitch + channel;
                            let value = acc[i * by_dim + j] * slope;
                            store::<S, F, One, W>(grad_q, place, value);
                        }
                    }
                }
                add_products::<F, W>(
                    scratch,
                    slopes,
                    keys_pitch,
                    &rows,
                    sum_k + column,
                    dim_pitch,
                    tokens,
                    queries,
                    by_dim,
                );
            }
            for group in 0..dim_v_pitch / W::value() / by_dim_v {
                let column = group * by_dim_v * W::value();
                let mut rows = Array::<Vector<F, W>>::new(comptime!(queries * by_dim_v));
                #[unroll]
                for i in 0..queries {
                    #[unroll]
                    for j in 0..by_dim_v {
                        let channel = channel::<W>(group * by_dim_v + j, dim_v);
                        rows[i * by_dim_v + j] =
                            load::<S, F, One, W>(grad, grad_starts[i] + channel);
                    }
                }
                add_products::<F, W>(
                    scratch,
                    probabilities,
                    keys_pitch,
                    &rows,
                    sum_v + column,
                    dim_v_pitch,
                    tokens,
                    queries,
                    by_dim_v,
                );
            }
        }
        let (k_out, v_out) = (at.grad_k.start(sample, head), at.grad_v.start(sample, head));
        for token in 0..tokens {
            for v in 0..dim_pitch / W::value() {
                let place = sum_k + token * dim_pitch + v * W::value();
                let value = load::<F, F, One, W>(&*scratch, place) * scale;
                let to = k_out + token * at.grad_k.pitch + channel::<W>(v, dim);
                store::<S, F, One, W>(grad_k, to, value);
            }
            for v in 0..dim_v_pitch / W::value() {
                let place = sum_v + token * dim_v_pitch + v * W::value();
                let value = load::<F, F, One, W>(&*scratch, place);
                let to = v_out + token * at.grad_v.pitch + channel::<W>(v, dim_v);
                store::<S, F, One, W>(grad_v, to, value);
            }
        }
    }
}

/// Launches the gradients of queries, keys and values of a problem that is not empty into `grads`, which may be windows. With a `bias`,
/// laid out over pairs, returns the scores' `[s, heads, n, keys]`.
pub(in crate::attention::softmax) fn launch_backward(
    problem: &AttentionProblem,
    [q, k, v]: [&Tensor; 3],
    bias: Option<&Tensor>,
    kept: &Tensor,
    grad: &Tensor,
    [grad_q, grad_k, grad_v]: [&Tensor; 3],
) -> Result<Option<Tensor>, KernelError> {
    let (client, dtype) = (q.client(), problem.dtype);
    let &AttentionProblem {
        samples,
        tokens,
        dim,
        dim_v,
        options,
        ..
    } = problem;
    let heads = options.heads;
    let plan = Plan::of(client, problem);
    let (shape, queries) = (plan.shape, plan.variant.queries);
    let grid = launch::grid(client, samples * heads);
    let elements =
        (dim + dim_v + 2 * queries) * shape.keys + tokens * (2 * shape.dim + shape.dim_v);
    let wide = dtype.accumulator();
    let scratch = Tensor::room(OP, "scratch", client, &[grid.units, elements], wide)?;
    let scores = [samples, heads, tokens, shape.keys];
    let scores = bias
        .map(|_| Tensor::room(OP, "gradient of the scores", client, &scores, wide))
        .transpose()?;
    let lanes = Lanes::of(client, dtype, 1, &[]);
    let slope = planted::or("attention_gradient_without_its_scale", options.scale, 1.0);
    let of = |tensor| MatricesLaunch::of(tensor, heads);
    // What a launch without bias does not use is never read or written: any buffer stands in for it.
    // SAFETY: the problem relates the extents to the tensors, and the plan rounds the scratch's up to whole vectors.
    unsafe {
        attention_backward::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            plan.width,
            q.buffer(1, 0),
            k.buffer(1, 0),
            v.buffer(1, 0),
            bias.unwrap_or(kept).buffer(1, 0),
            kept.buffer(1, 0),
            grad.buffer(1, 0),
            grad_q.buffer(1, 0),
            grad_k.buffer(1, 0),
            grad_v.buffer(1, 0),
            scores.as_ref().unwrap_or(&scratch).buffer(1, 0),
            scratch.buffer(1, 0),
            lanes.unaligned(q),
            PlacesLaunch::new(
                of(q),
                of(k),
                of(v),
                of(grad),
                of(grad_q),
                of(grad_k),
                of(grad_v),
            ),
            plan.extents(problem),
            dtype.scalar(options.scale),
            dtype.scalar(slope),
            grid.run,
            plan.variant,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(scores)
}
