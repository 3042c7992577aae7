use super::{BatchNorm, BatchNormProblem, Statistics, Strip};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Mean and sum of squared deviations of each channel over a run of pixels. One unit owns a run of partial results.
///
/// The values are shifted by the run's first pixel before they are squared, so that a large common offset cancels before it
/// can swallow the deviations.
#[cube(launch_unchecked)]
fn partial_moments<F: Float, N: Size>(
    x: &[Vector<F, N>],
    partials: &mut [Vector<F, N>],
    pixels: usize,
    channel_vectors: usize,
    per_partial: usize,
    partial_count: usize,
    run: usize,
    #[comptime] strip: Strip,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let vectors = comptime!(strip.vectors);
    let ahead = comptime!(strip.ahead);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        let from = partial * per_partial;
        let to = min(from + per_partial, pixels);
        let even = from + (to - from) / ahead * ahead;
        for column in 0..channel_vectors / vectors {
            let at = column * vectors;
            let mut shift = Array::<Vector<F, N>>::new(vectors);
            let mut sum = Array::<Vector<F, N>>::new(vectors * ahead);
            let mut square = Array::<Vector<F, N>>::new(vectors * ahead);
            #[unroll]
            for v in 0..vectors {
                shift[v] = x[from * channel_vectors + at + v];
            }
            #[unroll]
            for i in 0..vectors * ahead {
                sum[i] = zero;
                square[i] = zero;
            }
            for group in 0..(even - from) / ahead {
                let pixel = from + group * ahead;
                #[unroll]
                for u in 0..ahead {
                    #[unroll]
                    for v in 0..vectors {
                        let d = x[(pixel + u) * channel_vectors + at + v] - shift[v];
                        sum[u * vectors + v] += d;
                        square[u * vectors + v] = fma(d, d, square[u * vectors + v]);
                    }
                }
            }
            for pixel in even..to {
                #[unroll]
                for v in 0..vectors {
                    let d = x[pixel * channel_vectors + at + v] - shift[v];
                    sum[v] += d;
                    square[v] = fma(d, d, square[v]);
                }
            }
            let count = Vector::<F, N>::cast_from(F::cast_from((to - from) as u32));
            #[unroll]
            for v in 0..vectors {
                #[unroll]
                for u in 1..ahead {
                    sum[v] = sum[v] + sum[u * vectors + v];
                    square[v] = square[v] + square[u * vectors + v];
                }
                let out = partial * 2 * channel_vectors + at + v;
                partials[out] = shift[v] + sum[v] / count;
                partials[out + channel_vectors] = square[v] - sum[v] * sum[v] / count;
            }
        }
    }
}

/// Merges the partial moments in order (Chan, Golub and LeVeque 1979) and moves the running statistics. One unit owns a run of
/// channels.
#[cube(launch_unchecked)]
fn merge_moments<F: Float>(
    partials: &[F],
    mean_out: &mut [F],
    inv_std: &mut [F],
    running_mean: &mut [F],
    running_var: &mut [F],
    pixels: usize,
    channels: usize,
    per_partial: usize,
    partial_count: usize,
    epsilon: InputScalar,
    momentum: InputScalar,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let one = F::new(1.0f32);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, channels);
    for c in first..last {
        let mut count = F::cast_from(min(per_partial, pixels) as u32);
        let mut mean = partials[c];
        let mut squares = partials[channels + c];
        for partial in 1..partial_count {
            let from = partial * per_partial;
            let added = F::cast_from((min(from + per_partial, pixels) - from) as u32);
            let at = partial * 2 * channels + c;
            let delta = partials[at] - mean;
            let both = count + added;
            mean += delta * added / both;
            squares += partials[at + channels] + delta * delta * count * added / both;
            count = both;
        }
        let variance = squares / count;
        mean_out[c] = mean;
        inv_std[c] = one / (variance + epsilon.get::<F>()).sqrt();
        // One pixel has no unbiased variance; its deviation is 0 either way.
        let unbiased = squares / max(count - one, one);
        let m = momentum.get::<F>();
        running_mean[c] = running_mean[c] + m * (mean - running_mean[c]);
        running_var[c] = running_var[c] + m * (unbiased - running_var[c]);
    }
}

/// `1 / sqrt(var + epsilon)`, times `gamma` if `scaled`. One unit owns a run of channels.
#[cube(launch_unchecked)]
fn inverse_deviation<F: Float>(
    variance: &[F],
    gamma: &[F],
    out: &mut [F],
    epsilon: InputScalar,
    channels: usize,
    run: usize,
    #[comptime] scaled: bool,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, channels);
    for c in first..last {
        let mut factor = F::new(1.0f32);
        if scaled {
            factor = gamma[c];
        }
        out[c] = factor / (variance[c] + epsilon.get::<F>()).sqrt();
    }
}

/// Launches the moments of the batch and the move of the running statistics.
pub(super) fn launch_batch_statistics(
    problem: &BatchNormProblem,
    x: &Tensor,
    norm: &BatchNorm,
) -> Statistics {
    let client = x.client();
    let dtype = problem.dtype;
    let width = launch::width(client, dtype, problem.channels);
    let partials = Tensor::empty(client, &[problem.partials(), 2, problem.channels], dtype);
    let mean = Tensor::empty(client, &[problem.channels], dtype);
    let inv_std = Tensor::empty(client, &[problem.channels], dtype);
    let grid = launch::grid(client, problem.partials());
    // SAFETY: `BatchNormProblem` relates the extents; `partials` has room for two rows a partial.
    unsafe {
        partial_moments::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            x.arg(width),
            partials.arg(width),
            problem.pixels,
            problem.channels / width,
            problem.per_partial(),
            problem.partials(),
            grid.run,
            Strip::new(problem.channels / width),
            dtype.elem(),
        );
    }
    launch::pace(client);
    let grid = launch::grid(client, problem.channels);
    // SAFETY: every per-channel tensor was checked to hold `channels` elements.
    unsafe {
        merge_moments::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            partials.arg(1),
            mean.arg(1),
            inv_std.arg(1),
            norm.running_mean.arg(1),
            norm.running_var.arg(1),
            problem.pixels,
            problem.channels,
            problem.per_partial(),
            problem.partials(),
            dtype.scalar(norm.epsilon),
            dtype.scalar(norm.momentum),
            grid.run,
            dtype.elem(),
        );
    }
    launch::pace(client);
    Statistics { mean, inv_std }
}

/// The running statistics in the form the forward kernel reads.
pub(super) fn launch_running_statistics(
    problem: &BatchNormProblem,
    norm: &BatchNorm,
) -> Statistics {
    let inv_std = launch_running(problem, norm, false);
    Statistics {
        mean: norm.running_mean.clone(),
        inv_std,
    }
}

/// Launches the inverse running deviation, times `gamma` if `scaled`.
pub(super) fn launch_running(problem: &BatchNormProblem, norm: &BatchNorm, scaled: bool) -> Tensor {
    let client = norm.gamma.client();
    let out = Tensor::empty(client, &[problem.channels], problem.dtype);
    let grid = launch::grid(client, problem.channels);
    // SAFETY: all three hold `channels` elements.
    unsafe {
        inverse_deviation::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            norm.running_var.arg(1),
            norm.gamma.arg(1),
            out.arg(1),
            problem.dtype.scalar(norm.epsilon),
            problem.channels,
            grid.run,
            scaled,
            problem.dtype.elem(),
        );
    }
    launch::pace(client);
    out
}
