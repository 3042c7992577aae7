use super::{Saved, team};
use crate::cascade::{Cascade, Cascades, block_end, block_start, blocks};
use crate::clamp::relu;
use crate::lanes::{Lanes, channel, load, store};
use crate::norm::row::keep;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are summed side by side.
pub(super) const TOGETHER: usize = 8;

/// The query, which is the element `index` of a buffer of scalars.
#[cube]
pub(super) fn scalar<S: Float, F: Float, B: Size>(x: &[Vector<S, B>], index: usize) -> F {
    F::cast_from(x[index].extract(0usize))
}

/// Writes the softmax of the `tokens` queries, the first at element `start` of `qkv` and each `wide` behind the one before, to `shares` from
/// `first` on.
#[cube]
fn softmax_of_queries<S: Float, F: Float, B: Size, N: Size>(
    qkv: &[Vector<S, B>],
    shares: &mut [F],
    start: usize,
    wide: usize,
    first: usize,
    tokens: usize,
) {
    let mut top = scalar::<S, F, B>(qkv, start);
    for i in 1..tokens {
        let query = scalar::<S, F, B>(qkv, start + i * wide);
        top = select(query > top, query, top);
    }
    if comptime!(crate::planted::is("separable_without_its_maximum")) {
        top = F::new(0.0f32);
    }
    let max = Vector::<F, N>::new(top);
    let mut lanes = Vector::<u32, N>::new(0u32);
    #[unroll]
    for lane in 0..N::value() {
        lanes.insert(lane, u32::cast_from(lane));
    }
    let mut sum = Cascade::<F, N>::new();
    for run in 0..(tokens + N::value() - 1) / N::value() {
        let ahead = run * N::value();
        let mut queries = max;
        // Lanes past the last token stand for it again, write what it writes, and are not summed.
        #[unroll]
        for lane in 0..N::value() {
            let i = min(ahead + lane, tokens - 1);
            queries.insert(lane, scalar::<S, F, B>(qkv, start + i * wide));
        }
        let shared = (queries - max).exp();
        #[unroll]
        for lane in 0..N::value() {
            shares[first + min(ahead + lane, tokens - 1)] = shared.extract(lane);
        }
        let there = lanes.less_than(&Vector::new(u32::cast_from(tokens - ahead)));
        sum.add(keep::<F, N>(there, shared));
    }
    let share = F::new(1.0f32) / sum.total().vector_sum();
    for i in first..first + tokens {
        let own = shares[i];
        shares[i] = own * share;
    }
}

/// The attention, the shares and the contexts. One unit owns a run of samples.
#[cube(launch_unchecked)]
fn separable_kernel<S: Float, F: Float, B: Size, N: Size>(
    qkv: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    shares: &mut [F],
    context: &mut [Vector<F, B>],
    _unaligned: &[S],
    samples: usize,
    tokens: usize,
    channels: usize,
    blocks_of_channels: usize,
    run: usize,
    #[comptime] block: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let wide = 1 + 2 * channels;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, samples);
    for sample in first..last {
        let (start, first_share) = (sample * tokens * wide, sample * tokens);
        softmax_of_queries::<S, F, B, N>(qkv, shares, start, wide, first_share, tokens);
        for b in 0..blocks_of_channels {
            let mut sums = Cascades::<F, N>::new(block);
            for some in 0..blocks(tokens) {
                let mut part = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    part[j] = zero;
                }
                for i in block_start(some)..block_end(some, tokens) {
                    let share = Vector::<F, N>::new(shares[first_share + i]);
                    let key = start + i * wide + 1;
                    #[unroll]
                    for j in 0..block {
                        let c = channel::<N>(b * block + j, channels);
                        part[j] = fma(load::<S, F, B, N>(qkv, key + c), share, part[j]);
                    }
                }
                sums.add(&part);
            }
            let mut meeting = Array::<Vector<F, N>>::new(block);
            #[unroll]
            for j in 0..block {
                let c = channel::<N>(b * block + j, channels);
                meeting[j] = sums.total(j);
                store::<F, F, B, N>(context, sample * channels + c, meeting[j]);
            }
            for i in 0..tokens {
                let value = start + i * wide + 1 + channels;
                let to = (sample * tokens + i) * channels;
                #[unroll]
                for j in 0..block {
                    let c = channel::<N>(b * block + j, channels);
                    let passed = relu::<F, N>(load::<S, F, B, N>(qkv, value + c));
                    store::<S, F, B, N>(out, to + c, passed * meeting[j]);
                }
            }
        }
    }
}

/// Launches the attention of `saved.qkv` into `out`, and what is kept into `saved`.
pub(super) fn launch_attention(saved: &Saved, out: &Tensor) {
    let (client, problem) = (out.client(), &saved.problem);
    if !launch::is_cpu(client) {
        return team::launch_attention(saved, out);
    }
    let (dtype, channels) = (problem.dtype, problem.channels);
    let lanes = Lanes::of(client, dtype, channels, &saved.tensors(out));
    let block = lanes.together(TOGETHER);
    let grid = launch::grid(client, problem.samples);
    // SAFETY: `SeparableProblem` relates the extents.
    unsafe {
        separable_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(&saved.qkv),
            lanes.arg(out),
            saved.shares.arg(1),
            lanes.arg(&saved.context),
            lanes.unaligned(&saved.qkv),
            problem.samples,
            problem.tokens,
            channels,
            lanes.vectors() / block,
            grid.run,
            block,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
