//! Separable attention on GPUs: a team a sample ([`crate::team`]), one launch each way.
//!
//! **One team owns** a sample, and a unit some of its channels, neighbours neighbouring ones: every unit walks over all tokens for its own channels, so that
//! sums over tokens are its own, and takes the exponential of each query again, which the whole team reads at once. The team meets for the largest query and the
//! sum of exponentials, backward for the mean of a query's gradient and for the products with the keys, which go over all channels: four tokens at a
//! time.

use super::Saved;
use super::forward::scalar;
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::clamp::{relu, relu_grad};
use crate::lanes::{Lanes, View, load, store};
use crate::team::{Team, Teams};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Numbers that the forward and the backward pass reduce at a time.
type One = Const<1>;
type Four = Const<4>;

/// The attention, the shares and the contexts. One team owns a sample.
#[cube(launch_unchecked)]
fn separable_by_teams<S: Float, F: Float, B: Size, N: Size>(
    qkv: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    shares: &mut [F],
    context: &mut [Vector<F, B>],
    samples: usize,
    tokens: usize,
    channels: usize,
    vectors: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, One>::new(samples, team);
    let wide = 1 + 2 * channels;
    let (start, first) = (team.row * tokens * wide, team.row * tokens);
    let mut top = F::min_value();
    let mut i = team.unit;
    while i < tokens {
        let query = scalar::<S, F, B>(qkv, start + i * wide);
        top = select(query > top, query, top);
        i += team.size;
    }
    let max = team.max(Vector::new(top)).extract(0usize);
    let mut sum = Cascade::<F, One>::new();
    let mut i = team.unit;
    while i < tokens {
        sum.add(Vector::new(
            (scalar::<S, F, B>(qkv, start + i * wide) - max).exp(),
        ));
        i += team.size;
    }
    let share = F::new(1.0f32) / team.sum(sum.total()).extract(0usize);
    if team.there {
        let mut i = team.unit;
        while i < tokens {
            let e = (scalar::<S, F, B>(qkv, start + i * wide) - max).exp();
            shares[first + i] = e * share;
            i += team.size;
        }
        let mut v = team.unit;
        while v < vectors {
            let c = v * N::value();
            let mut sum = Cascade::<F, N>::new();
            for some in 0..blocks(tokens) {
                let mut part = Vector::<F, N>::new(F::new(0.0f32));
                for i in block_start(some)..block_end(some, tokens) {
                    let token = start + i * wide;
                    let e = (scalar::<S, F, B>(qkv, token) - max).exp() * share;
                    part = fma(load::<S, F, B, N>(qkv, token + 1 + c), Vector::new(e), part);
                }
                sum.add(part);
            }
            let meeting = sum.total();
            store::<F, F, B, N>(context, team.row * channels + c, meeting);
            for i in 0..tokens {
                let value = start + i * wide + 1 + channels + c;
                let passed = relu::<F, N>(load::<S, F, B, N>(qkv, value));
                store::<S, F, B, N>(out, (first + i) * channels + c, passed * meeting);
            }
            v += team.size;
        }
    }
}

/// The gradient of `qkv`. One team owns a sample; a unit reads of `by_context` what it wrote.
#[cube(launch_unchecked)]
fn separable_grad_by_teams<S: Float, F: Float, B: Size, N: Size>(
    qkv: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    shares: &[F],
    context: &[Vector<F, B>],
    out: &mut [Vector<S, B>],
    by_context: &mut [Vector<F, B>],
    grad_view: View,
    samples: usize,
    tokens: usize,
    channels: usize,
    in_row: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, Four>::new(samples, team);
    let vectors = team.walks(in_row);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let wide = 1 + 2 * channels;
    let (start, row) = (team.row * tokens * wide, team.row * channels);
    let mut mean = zero;
    let mut v = team.unit;
    while v < vectors {
        let c = v * N::value();
        let meeting = load::<F, F, B, N>(context, row + c);
        let mut sum = Cascade::<F, N>::new();
        for some in 0..blocks(tokens) {
            let mut part = zero;
            for i in block_start(some)..block_end(some, tokens) {
                let value = start + i * wide + 1 + channels + c;
                let own = load::<S, F, B, N>(qkv, value);
                let g = load::<S, F, B, N>(grad, grad_view.at(team.row * tokens + i) + c);
                part = fma(g, relu::<F, N>(own), part);
                store::<S, F, B, N>(out, value, relu_grad::<F, N>(own, g * meeting));
            }
            sum.add(part);
        }
        let h = sum.total();
        store::<F, F, B, N>(by_context, row + c, h);
        mean = fma(h, meeting, mean);
        v += team.size;
    }
    let mean = team.sum(Vector::new(mean.vector_sum())).extract(0usize);
    let mut i = 0usize.runtime();
    while i < tokens {
        let mut dots = Vector::<F, Four>::new(F::new(0.0f32));
        #[unroll]
        for ahead in 0..4usize {
            let token = min(i + ahead, tokens - 1);
            let mut dot = zero;
            let mut v = team.unit;
            while v < vectors {
                let c = v * N::value();
                let h = load::<F, F, B, N>(&*by_context, row + c);
                let key = start + token * wide + 1 + c;
                dot = fma(load::<S, F, B, N>(qkv, key), h, dot);
                let share = Vector::new(shares[team.row * tokens + token]);
                store::<S, F, B, N>(out, key, h * share);
                v += team.size;
            }
            dots.insert(ahead, dot.vector_sum());
        }
        let dots = team.sum(dots);
        if team.leads() {
            #[unroll]
            for ahead in 0..4usize {
                if i + ahead < tokens {
                    let share = shares[team.row * tokens + i + ahead];
                    let query = start + (i + ahead) * wide;
                    let slope = share * (dots.extract(ahead) - mean);
                    out[query] = Vector::new(S::cast_from(slope));
                }
            }
        }
        i += 4;
    }
}

/// Launches the attention of `saved.qkv` into `out`, and what is kept into `saved`, on a device that is no CPU.
pub(super) fn launch_attention(saved: &Saved, out: &Tensor) {
    let (client, problem) = (out.client(), &saved.problem);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let lanes = Lanes::apart(client, dtype, channels, &saved.tensors(out));
    let teams = Teams::of(client, problem.samples, lanes.vectors());
    // SAFETY: `SeparableProblem` relates the extents, and teams past the last sample write nothing.
    unsafe {
        separable_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(&saved.qkv),
            lanes.arg(out),
            saved.shares.arg(1),
            lanes.arg(&saved.context),
            problem.samples,
            problem.tokens,
            channels,
            lanes.vectors(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// Launches the gradient of `saved.qkv` into `out`, on a device that is no CPU.
pub(super) fn launch_backward(saved: &Saved, grad: &Tensor, out: &Tensor, by_context: &Tensor) {
    let (client, problem) = (out.client(), &saved.problem);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let lanes = Lanes::apart(client, dtype, channels, &saved.tensors(grad));
    let teams = Teams::of(client, problem.samples, lanes.vectors());
    // SAFETY: `SeparableProblem` relates the extents, and teams past the last sample write nothing that is there.
    unsafe {
        separable_grad_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(&saved.qkv),
            lanes.arg(grad),
            saved.shares.arg(1),
            lanes.arg(&saved.context),
            lanes.arg(out),
            lanes.arg(by_context),
            grad.view(),
            problem.samples,
            problem.tokens,
            channels,
            lanes.vectors(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
