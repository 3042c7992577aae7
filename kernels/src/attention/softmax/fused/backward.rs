use super::tile::{One, Rows, lay, multiply, note, noted, rows_from, turn};
use super::{Extents, Plan, Variant};
use crate::attention::softmax::{AttentionProblem, OP};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::matmul::batched::{Matrices, MatricesLaunch};
use crate::{DType, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// The matrices of the tensors, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct All {
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
    places: &mut [u32],
    _unaligned: &[S],
    at: All,
    extents: Extents,
    scale: InputScalar,
    slope: InputScalar,
    run: usize,
    #[comptime] variant: Variant,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let Variant {
        keys,
        queries,
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
        tiles,
        dim_pitch,
        dim_v_pitch,
    } = extents;
    let lanes = W::value();
    let one = Vector::<F, W>::new(F::new(1.0f32));
    let zero = Vector::<F, W>::new(F::new(0.0f32));
    let scale = Vector::<F, W>::new(scale.get::<F>());
    let slope = Vector::<F, W>::new(slope.get::<F>());
    // Queries of a tile and the output's gradient, turned and as they are; probabilities and the scores' gradients; keys; the gradients of
    // keys and values so far.
    let turned_q = ABSOLUTE_POS
        * ((dim + dim_v + dim_pitch + dim_v_pitch + 2 * tokens) * lanes
            + tokens * (2 * dim_pitch + dim_v_pitch));
    let turned_grad = turned_q + dim * lanes;
    let laid_q = turned_grad + dim_v * lanes;
    let laid_grad = laid_q + dim_pitch * lanes;
    let probabilities = laid_grad + dim_v_pitch * lanes;
    let slopes = probabilities + tokens * lanes;
    let laid_k = slopes + tokens * lanes;
    let sum_k = laid_k + tokens * dim_pitch;
    let sum_v = sum_k + tokens * dim_pitch;
    let groups = (tokens + comptime!(keys - 1)) / keys;
    let k_places = ABSOLUTE_POS * 2 * (groups * keys + tiles * lanes);
    let v_places = k_places + groups * keys;
    let q_places = v_places + groups * keys;
    let grad_places = q_places + tiles * lanes;
    let first = ABSOLUTE_POS * run;
    for matrix in first..min(first + run, count) {
        let (sample, head) = (matrix / heads, matrix % heads);
        let (q_start, k_start) = (at.q.start(sample, head), at.k.start(sample, head));
        let (v_start, grad_start) = (at.v.start(sample, head), at.grad.start(sample, head));
        let q_out = at.grad_q.start(sample, head);
        lay::<S, F, W>(
            k, k_start, at.k.pitch, tokens, dim, scratch, laid_k, dim_pitch,
        );
        note(places, k_places, groups * keys, k_start, at.k.pitch, tokens);
        note(places, v_places, groups * keys, v_start, at.v.pitch, tokens);
        note(places, q_places, tiles * lanes, q_start, at.q.pitch, tokens);
        note(
            places,
            grad_places,
            tiles * lanes,
            grad_start,
            at.grad.pitch,
            tokens,
        );
        for i in 0..tokens * (dim_pitch + dim_v_pitch) / lanes {
            store::<F, F, One, W>(scratch, sum_k + i * lanes, zero);
        }
        for tile in 0..tiles {
            let query = tile * lanes;
            let there = min(lanes, tokens - query);
            turn::<S, F, W>(q, &*places, q_places + query, dim, scratch, turned_q);
            let place = grad_places + query;
            turn::<S, F, W>(grad, &*places, place, dim_v, scratch, turned_grad);
            let (q_first, grad_first) = (query * at.q.pitch, query * at.grad.pitch);
            lay::<S, F, W>(
                q,
                q_start + q_first,
                at.q.pitch,
                there,
                dim,
                scratch,
                laid_q,
                dim_pitch,
            );
            lay::<S, F, W>(
                grad,
                grad_start + grad_first,
                at.grad.pitch,
                there,
                dim_v,
                scratch,
                laid_grad,
                dim_v_pitch,
            );
            let tops = matrix * 2 * (tiles * lanes) + query;
            let top = load::<F, F, One, W>(kept, tops);
            let share = load::<F, F, One, W>(kept, tops + tiles * lanes);
            for group in 0..groups {
                let first = group * keys;
                let rows = noted(&*places, k_places + first, keys);
                let scores =
                    multiply::<S, F, W>(k, &rows, &*scratch, turned_q, lanes, dim, keys, 1usize);
                let rows = noted(&*places, v_places + first, keys);
                let by_p = multiply::<S, F, W>(
                    v,
                    &rows,
                    &*scratch,
                    turned_grad,
                    lanes,
                    dim_v,
                    keys,
                    1usize,
                );
                #[unroll]
                for i in 0..keys {
                    let key = first + i;
                    if key < tokens {
                        let mut score = scores[i] * scale;
                        if comptime!(variant.bias) {
                            let pair = (head * tokens + key) * (tiles * lanes) + query;
                            score += load::<F, F, One, W>(bias, pair);
                        }
                        let p = (score - top).exp() * share;
                        store::<F, F, One, W>(scratch, probabilities + key * lanes, p);
                        store::<F, F, One, W>(scratch, slopes + key * lanes, by_p[i]);
                    }
                }
            }
            let mut product = Cascade::<F, W>::new();
            for block in 0..blocks(tokens) {
                let mut part = zero;
                for key in block_start(block)..block_end(block, tokens) {
                    let p = load::<F, F, One, W>(&*scratch, probabilities + key * lanes);
                    let by_p = load::<F, F, One, W>(&*scratch, slopes + key * lanes);
                    part = fma(p, by_p, part);
                }
                product.add(part);
            }
            let mean = product.total();
            for key in 0..tokens {
                let p = load::<F, F, One, W>(&*scratch, probabilities + key * lanes);
                let by_p = load::<F, F, One, W>(&*scratch, slopes + key * lanes);
                let value = p * (by_p - mean);
                store::<F, F, One, W>(scratch, slopes + key * lanes, value);
                if comptime!(variant.bias) {
                    let pair = (matrix * tokens + key) * (tiles * lanes) + query;
                    store::<F, F, One, W>(grad_scores, pair, value);
                }
            }
            for group in 0..(there + comptime!(queries - 1)) / queries {
                let first = group * queries;
                let rows = rows_from(slopes + first, 1usize, lanes, queries);
                for part in 0..dim_pitch / lanes / by_dim {
                    let column = laid_k + part * by_dim * lanes;
                    let sums = multiply::<F, F, W>(
                        &*scratch, &rows, &*scratch, column, dim_pitch, tokens, queries, by_dim,
                    );
                    #[unroll]
                    for i in 0..queries {
                        if first + i < there {
                            let row = q_out + (query + first + i) * at.grad_q.pitch;
                            #[unroll]
                            for j in 0..by_dim {
                                let column = channel::<W>(part * by_dim + j, dim);
                                let value = sums[i * by_dim + j] * slope;
                                store::<S, F, One, W>(grad_q, row + column, value);
                            }
                        }
                    }
                }
            }
            let mut added = there;
            if comptime!(planted::is("attention_of_queries_past_the_end")) {
                added = lanes;
            }
            for group in 0..groups {
                let first = group * keys;
                let rows = rows_from(slopes + first * lanes, lanes, 1usize, keys);
                add_to::<F, W>(
                    scratch, &rows, laid_q, added, sum_k, dim_pitch, first, tokens, keys, by_dim,
                );
                let rows = rows_from(probabilities + first * lanes, lanes, 1usize, keys);
                add_to::<F, W>(
                    scratch,
                    &rows,
                    laid_grad,
                    added,
                    sum_v,
                    dim_v_pitch,
                    first,
                    tokens,
                    keys,
                    by_dim_v,
                );
            }
        }
        let (k_out, v_out) = (at.grad_k.start(sample, head), at.grad_v.start(sample, head));
        give::<S, F, W>(
            &*scratch,
            sum_k,
            dim_pitch,
            tokens,
            dim,
            scale,
            grad_k,
            k_out,
            at.grad_k.pitch,
        );
        give::<S, F, W>(
            &*scratch,
            sum_v,
            dim_v_pitch,
            tokens,
            dim_v,
            one,
            grad_v,
            v_out,
            at.grad_v.pitch,
        );
    }
}

/// Adds the products of `rows`, those of keys from `key` on, with the `depth` rows from `b` on to the keys' sums.
#[cube]
fn add_to<F: Float, W: Size>(
    scratch: &mut [Vector<F, One>],
    rows: &Rows,
    b: usize,
    depth: usize,
    sums: usize,
    pitch: usize,
    key: usize,
    tokens: usize,
    #[comptime] keys: usize,
    #[comptime] vectors: usize,
) {
    let lanes = W::value();
    for part in 0..pitch / lanes / vectors {
        let column = part * vectors * lanes;
        let products = multiply::<F, F, W>(
            &*scratch,
            rows,
            &*scratch,
            b + column,
            pitch,
            depth,
            keys,
            vectors,
        );
        #[unroll]
        for i in 0..keys {
            if key + i < tokens {
                #[unroll]
                for j in 0..vectors {
                    let place = sums + (key + i) * pitch + column + j * lanes;
                    let sum = load::<F, F, One, W>(&*scratch, place) + products[i * vectors + j];
                    store::<F, F, One, W>(scratch, place, sum);
                }
            }
        }
    }
}

/// Stores rows of sums, times `by`, whose last vectors are moved back to end with the row.
#[cube]
fn give<S: Float, F: Float, W: Size>(
    scratch: &[Vector<F, One>],
    sums: usize,
    pitch: usize,
    rows: usize,
    columns: usize,
    by: Vector<F, W>,
    out: &mut [Vector<S, One>],
    start: usize,
    out_pitch: usize,
) {
    for row in 0..rows {
        for v in 0..pitch / W::value() {
            let value = load::<F, F, One, W>(scratch, sums + row * pitch + v * W::value()) * by;
            let place = start + row * out_pitch + channel::<W>(v, columns);
            store::<S, F, One, W>(out, place, value);
        }
    }
}

/// Launches the gradients of queries, keys and values of a problem that is not empty into `grads`, which may be windows. With a `bias`, laid
/// out over pairs, returns that of the scores, `[s, heads, n, n]` by keys and queries, the latter in whole tiles.
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
    let grid = launch::grid(client, samples * heads);
    let pitches = plan.dim_pitch + plan.dim_v_pitch;
    let elements =
        (dim + dim_v + pitches + 2 * tokens) * plan.width + tokens * (plan.dim_pitch + pitches);
    let wide = dtype.accumulator();
    let scratch = Tensor::room(OP, "scratch", client, &[grid.units, elements], wide)?;
    let places = 2 * (plan.key_places(problem) + plan.tokens());
    let places = Tensor::room(OP, "scratch", client, &[grid.units, places], DType::F32)?;
    let scores = [samples, heads, tokens, plan.tokens()];
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
            places.arg(1),
            lanes.unaligned(q),
            AllLaunch::new(
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
