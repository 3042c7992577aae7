use super::forward::TOGETHER;
use super::{Saved, team};
use crate::cascade::{Cascade, Cascades, block_end, block_start, blocks};
use crate::clamp::{relu, relu_grad};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::norm::row::{fresh, keep};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// The sum of products of the rows of `channels` elements at `key` and at `h`, whose last vector counts its `fresh` lanes.
#[cube]
fn dot<S: Float, R: Float, F: Float, B: Size, N: Size>(
    key: &[Vector<S, B>],
    key_start: usize,
    h: &[Vector<R, B>],
    h_start: usize,
    channels: usize,
    vectors: usize,
    fresh: Vector<bool, N>,
) -> F {
    let tail = channels - N::value();
    let end = load::<S, F, B, N>(key, key_start + tail) * load::<R, F, B, N>(h, h_start + tail);
    let mut sum = Cascade::<F, N>::new();
    sum.add(keep::<F, N>(fresh, end));
    for block in 0..blocks(vectors - 1) {
        let mut part = Vector::<F, N>::new(F::new(0.0f32));
        for v in block_start(block)..block_end(block, vectors - 1) {
            let c = v * N::value();
            part = fma(
                load::<S, F, B, N>(key, key_start + c),
                load::<R, F, B, N>(h, h_start + c),
                part,
            );
        }
        sum.add(part);
    }
    sum.total().vector_sum()
}

/// The gradient of `qkv`. One unit owns a run of samples; `by_context` is its scratch, a row of channels a sample.
#[cube(launch_unchecked)]
fn separable_grad<S: Float, F: Float, B: Size, N: Size>(
    qkv: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    shares: &[F],
    context: &[Vector<F, B>],
    out: &mut [Vector<S, B>],
    by_context: &mut [Vector<F, B>],
    _unaligned: &[S],
    grad_view: View,
    samples: usize,
    tokens: usize,
    channels: usize,
    vectors: usize,
    run: usize,
    #[comptime] block: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let fresh = fresh::<N>(channels, vectors);
    let wide = 1 + 2 * channels;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, samples);
    for sample in first..last {
        let (start, row) = (sample * tokens * wide, sample * channels);
        for b in 0..vectors / block {
            let mut meeting = Array::<Vector<F, N>>::new(block);
            #[unroll]
            for j in 0..block {
                let c = channel::<N>(b * block + j, channels);
                meeting[j] = load::<F, F, B, N>(context, row + c);
            }
            let mut sums = Cascades::<F, N>::new(block);
            for some in 0..blocks(tokens) {
                let mut part = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    part[j] = zero;
                }
                for i in block_start(some)..block_end(some, tokens) {
                    let value = start + i * wide + 1 + channels;
                    let arrived = grad_view.at(sample * tokens + i);
                    #[unroll]
                    for j in 0..block {
                        let c = channel::<N>(b * block + j, channels);
                        let own = load::<S, F, B, N>(qkv, value + c);
                        let g = load::<S, F, B, N>(grad, arrived + c);
                        part[j] = fma(g, relu::<F, N>(own), part[j]);
                        let left = relu_grad::<F, N>(own, g * meeting[j]);
                        store::<S, F, B, N>(out, value + c, left);
                    }
                }
                sums.add(&part);
            }
            #[unroll]
            for j in 0..block {
                let c = channel::<N>(b * block + j, channels);
                store::<F, F, B, N>(by_context, row + c, sums.total(j));
            }
        }
        let mut mean =
            dot::<F, F, F, B, N>(context, row, &*by_context, row, channels, vectors, fresh);
        if comptime!(planted::is("separable_gradient_without_its_mean")) {
            mean = F::new(0.0f32);
        }
        for i in 0..tokens {
            let (query, own) = (start + i * wide, shares[sample * tokens + i]);
            let share = Vector::<F, N>::new(own);
            let by_share =
                dot::<S, F, F, B, N>(qkv, query + 1, &*by_context, row, channels, vectors, fresh);
            out[query] = Vector::new(S::cast_from(own * (by_share - mean)));
            for v in 0..vectors {
                let c = channel::<N>(v, channels);
                let h = load::<F, F, B, N>(&*by_context, row + c);
                store::<S, F, B, N>(out, query + 1 + c, h * share);
            }
        }
    }
}

/// Launches the gradient of `saved.qkv` into `out`.
pub(super) fn launch_backward(saved: &Saved, grad: &Tensor, out: &Tensor) {
    let (client, problem) = (out.client(), &saved.problem);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let by_context = Tensor::empty(client, saved.context.shape(), dtype.accumulator());
    if !launch::is_cpu(client) {
        return team::launch_backward(saved, grad, out, &by_context);
    }
    let lanes = Lanes::of(client, dtype, channels, &saved.tensors(grad));
    let grid = launch::grid(client, problem.samples);
    // SAFETY: `SeparableProblem` relates the extents.
    unsafe {
        separable_grad::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(&saved.qkv),
            lanes.arg(grad),
            saved.shares.arg(1),
            lanes.arg(&saved.context),
            lanes.arg(out),
            lanes.arg(&by_context),
            lanes.unaligned(&saved.qkv),
            grad.view(),
            problem.samples,
            problem.tokens,
            channels,
            lanes.vectors(),
            grid.run,
            lanes.together(TOGETHER),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
