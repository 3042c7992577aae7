//! Layer norm and its gradient on GPUs: a team a sample, or a partial sum ([`crate::team`]).
//!
//! **One team owns** forward a sample, which is one row of vectors for the walks: mean, centred squares, result. Backward, where
//! rows are longer than units hold in registers (`rows.rs`), it owns a partial sum and walks its samples one after the other; a unit keeps
//! to the same channels in all of them, so that the sums for `gamma` and `beta` are its own. Every team of the launch walks as many
//! samples, the last one some that are not there and count as nothing: a barrier waits for all of them.

use super::Saved;
use super::forward::variance;
use crate::cascade::Cascade;
use crate::lanes::{Lanes, load, store};
use crate::team::{BLOCK, Team, Teams, pair};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Numbers that the forward and the backward pass reduce at a time.
type One = Const<1>;
type Two = Const<2>;

/// The sum over a sample that starts at element `start`, of `x - centre` or of its square.
#[cube]
fn sum<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    vectors: usize,
    team: &mut Team<F, One>,
    centre: Vector<F, N>,
    #[comptime] squared: bool,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut all = Cascade::<F, N>::new();
    let mut v = team.unit;
    while v < vectors {
        let mut part = zero;
        let end = team.block(v, vectors);
        while v < end {
            let d = load::<S, F, B, N>(x, start + v * N::value()) - centre;
            if comptime!(squared) {
                part = fma(d, d, part);
            } else {
                part += d;
            }
            v += team.size;
        }
        all.add(part);
    }
    team.sum(Vector::new(all.total().vector_sum()))
        .extract(0usize)
}

/// `y = (x - mean) inv_std gamma + beta`, and the moments. One team owns a sample.
#[cube(launch_unchecked)]
fn layer_norm_by_teams<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    y: &mut [Vector<S, B>],
    mean_out: &mut [F],
    inv_std_out: &mut [F],
    epsilon: InputScalar,
    samples: usize,
    pixels: usize,
    vectors: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, One>::new(samples, team);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let in_all = pixels * vectors;
    let start = team.row * in_all * N::value();
    let count = F::cast_from(u32::cast_from(in_all * N::value()));
    let mean = sum::<S, F, B, N>(x, start, in_all, &mut team, zero, false) / count;
    let centre = Vector::<F, N>::new(mean);
    let squares = sum::<S, F, B, N>(x, start, in_all, &mut team, centre, true);
    let inv_std = F::new(1.0f32) / (variance::<F>(squares, count) + epsilon.get::<F>()).sqrt();
    if team.leads() {
        mean_out[team.row] = mean;
        inv_std_out[team.row] = inv_std;
    }
    if team.there {
        let scale = Vector::<F, N>::new(inv_std);
        let mut v = team.unit;
        while v < in_all {
            let first_element = start + v * N::value();
            let c = v % vectors * N::value();
            let normal = (load::<S, F, B, N>(x, first_element) - centre) * scale;
            let (g, b) = (load::<F, F, B, N>(gamma, c), load::<F, F, B, N>(beta, c));
            store::<S, F, B, N>(y, first_element, fma(normal, g, b));
            v += team.size;
        }
    }
}

/// `out = inv_std (h - mean of h - n mean of h n)` with `h = grad gamma` and `n` the normalised `x`; each partial sum takes `grad n` and
/// `grad` of a run of samples. One team owns a partial sum.
#[cube(launch_unchecked)]
fn layer_norm_grad_by_teams<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    means: &[F],
    inv_stds: &[F],
    out: &mut [Vector<S, B>],
    partials: &mut [Vector<F, B>],
    samples: usize,
    pixels: usize,
    vectors: usize,
    per_partial: usize,
    partial_count: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, Two>::new(partial_count, team);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let channels = vectors * N::value();
    let count = F::cast_from(u32::cast_from(pixels * channels));
    let for_gamma = team.row * 2 * channels;
    let for_beta = for_gamma + channels;
    if team.there {
        let mut v = team.unit;
        while v < vectors {
            store::<F, F, B, N>(partials, for_gamma + v * N::value(), zero);
            store::<F, F, B, N>(partials, for_beta + v * N::value(), zero);
            v += team.size;
        }
    }
    for i in 0..per_partial {
        let sample = team.row * per_partial + i;
        let there = team.there && sample < samples;
        let sample = min(sample, samples - 1);
        let start = sample * pixels * channels;
        let centre = Vector::<F, N>::new(means[sample]);
        let scale = Vector::<F, N>::new(inv_stds[sample]);
        let mut sum = Cascade::<F, N>::new();
        let mut product = Cascade::<F, N>::new();
        let mut v = team.unit;
        while v < vectors {
            let c = v * N::value();
            let by = load::<F, F, B, N>(gamma, c);
            let mut of_gamma = Cascade::<F, N>::new();
            let mut of_beta = Cascade::<F, N>::new();
            let mut pixel = 0usize;
            while pixel < pixels {
                let mut gamma_part = zero;
                let mut beta_part = zero;
                let mut part = zero;
                let mut product_part = zero;
                let end = min(pixel + BLOCK, pixels);
                while pixel < end {
                    let first_element = start + pixel * channels + c;
                    let g = load::<S, F, B, N>(grad, first_element);
                    let n = (load::<S, F, B, N>(x, first_element) - centre) * scale;
                    let h = g * by;
                    part += h;
                    product_part = fma(h, n, product_part);
                    gamma_part = fma(g, n, gamma_part);
                    beta_part += g;
                    pixel += 1;
                }
                sum.add(part);
                product.add(product_part);
                of_gamma.add(gamma_part);
                of_beta.add(beta_part);
            }
            if there {
                let so_far = load::<F, F, B, N>(&*partials, for_gamma + c);
                store::<F, F, B, N>(partials, for_gamma + c, so_far + of_gamma.total());
                let so_far = load::<F, F, B, N>(&*partials, for_beta + c);
                store::<F, F, B, N>(partials, for_beta + c, so_far + of_beta.total());
            }
            v += team.size;
        }
        let sums = team.sum(pair::<F>(
            sum.total().vector_sum(),
            product.total().vector_sum(),
        ));
        let offset = Vector::<F, N>::new(sums.extract(0usize) / count);
        let tilt = Vector::<F, N>::new(sums.extract(1usize) / count);
        if there {
            for pixel in 0..pixels {
                let mut v = team.unit;
                while v < vectors {
                    let c = v * N::value();
                    let first_element = start + pixel * channels + c;
                    let n = (load::<S, F, B, N>(x, first_element) - centre) * scale;
                    let h = load::<S, F, B, N>(grad, first_element) * load::<F, F, B, N>(gamma, c);
                    store::<S, F, B, N>(out, first_element, scale * (h - offset - n * tilt));
                    v += team.size;
                }
            }
        }
    }
}

/// Launches the norm of `saved.input` into `y` and its moments into `saved`, on a device that is no CPU.
pub(super) fn launch_layer_norm(saved: &Saved, beta: &Tensor, epsilon: f64, y: &Tensor) {
    let (client, problem, x) = (y.client(), &saved.problem, &saved.input);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let lanes = Lanes::apart(client, dtype, channels, &[x, &saved.gamma, beta, y]);
    let teams = Teams::of(client, problem.samples, problem.pixels * lanes.vectors());
    // SAFETY: `LayerNormProblem` relates the extents, and teams past the last sample write nothing.
    unsafe {
        layer_norm_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(&saved.gamma),
            lanes.arg(beta),
            lanes.arg(y),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            dtype.scalar(epsilon),
            problem.samples,
            problem.pixels,
            lanes.vectors(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// Launches the gradient of `x` into `out` and the partial sums `[partials, 2, c]`, on a device that is no CPU.
pub(super) fn launch_partials(saved: &Saved, grad: &Tensor, out: &Tensor, partials: &Tensor) {
    let (client, problem, x) = (grad.client(), &saved.problem, &saved.input);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let tensors = [x, grad, &saved.gamma, out, partials];
    let lanes = Lanes::apart(client, dtype, channels, &tensors);
    let teams = Teams::of(client, problem.partials(), lanes.vectors());
    // SAFETY: `LayerNormProblem` relates the extents; `partials` has two rows a partial sum, and teams past the last write nothing.
    unsafe {
        layer_norm_grad_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            lanes.arg(&saved.gamma),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            lanes.arg(out),
            lanes.arg(partials),
            problem.samples,
            problem.pixels,
            lanes.vectors(),
            problem.per_partial(),
            problem.partials(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
