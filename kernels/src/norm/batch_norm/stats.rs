use super::{BatchNorm, BatchNormProblem, OP, PIXELS_AT_ONCE, Statistics};
use crate::lanes::{Lanes, channel, load, store};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// The sum of eight vectors as a tree, which is shorter to wait for than a chain and rounds less.
#[cube]
pub(super) fn tree<F: Float, N: Size>(t: &Array<Vector<F, N>>) -> Vector<F, N> {
    ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]))
}

/// Mean and sum of squared deviations of each channel over a run of pixels. One unit owns a run of partial results, which lie
/// vector beside vector, so that those which overlap in the channels do not here, where they are updated in place.
///
/// The values are shifted by the run's first pixel before they are squared, so that a large common offset cancels before it
/// can swallow the deviations.
#[cube(launch_unchecked)]
fn partial_moments<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    partials: &mut [Vector<F, N>],
    _anywhere: &[S],
    pixels: usize,
    channels: usize,
    vectors: usize,
    per_partial: usize,
    partial_count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ahead = comptime!(PIXELS_AT_ONCE);
    let first = ABSOLUTE_POS * run;
    for partial in first..min(first + run, partial_count) {
        let from = partial * per_partial;
        let to = min(from + per_partial, pixels);
        let sums = partial * 2 * vectors;
        let squares = sums + vectors;
        for v in 0..2 * vectors {
            partials[sums + v] = zero;
        }
        for group in 0..(to - from) / ahead {
            for v in 0..vectors {
                let c = channel::<N>(v, channels);
                let shift = load::<S, F, B, N>(x, from * channels + c);
                let at = (from + group * ahead) * channels + c;
                let mut deviations = Array::<Vector<F, N>>::new(ahead);
                let mut squared = Array::<Vector<F, N>>::new(ahead);
                #[unroll]
                for u in 0..ahead {
                    let d = load::<S, F, B, N>(x, at + u * channels) - shift;
                    deviations[u] = d;
                    squared[u] = d * d;
                }
                partials[sums + v] += tree::<F, N>(&deviations);
                partials[squares + v] += tree::<F, N>(&squared);
            }
        }
        for pixel in from + (to - from) / ahead * ahead..to {
            for v in 0..vectors {
                let c = channel::<N>(v, channels);
                let d = load::<S, F, B, N>(x, pixel * channels + c)
                    - load::<S, F, B, N>(x, from * channels + c);
                partials[sums + v] += d;
                partials[squares + v] = fma(d, d, partials[squares + v]);
            }
        }
        let count = Vector::<F, N>::cast_from(F::cast_from((to - from) as u32));
        for v in 0..vectors {
            let sum = partials[sums + v];
            let shift = load::<S, F, B, N>(x, from * channels + channel::<N>(v, channels));
            partials[sums + v] = shift + sum / count;
            partials[squares + v] -= sum * sum / count;
        }
    }
}

/// Merges the partial moments in order and moves the running statistics. One unit owns a run of vectors of channels.
///
/// The mean is the first partial one plus the weighted mean of the others' distances to it; the squared deviations are the partial
/// ones' plus those of the partial means.
#[cube(launch_unchecked)]
fn merge_moments<S: Float, F: Float, B: Size, N: Size>(
    partials: &[Vector<F, N>],
    gamma: &[Vector<F, B>],
    mean_out: &mut [Vector<F, B>],
    inv_std: &mut [Vector<F, B>],
    scale: &mut [Vector<F, B>],
    running_mean: &mut [F],
    running_var: &mut [F],
    _anywhere: &[S],
    pixels: usize,
    channels: usize,
    vectors: usize,
    per_partial: usize,
    partial_count: usize,
    epsilon: InputScalar,
    momentum: InputScalar,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let first = ABSOLUTE_POS * run;
    for v in first..min(first + run, vectors) {
        let all = F::cast_from(pixels as u32);
        let origin = partials[v];
        let mut distance = Vector::<F, N>::new(F::new(0.0f32));
        for partial in 1..partial_count {
            let from = partial * per_partial;
            let count = F::cast_from((min(from + per_partial, pixels) - from) as u32);
            distance = fma(
                partials[partial * 2 * vectors + v] - origin,
                Vector::new(count),
                distance,
            );
        }
        let mean = origin + distance / Vector::new(all);
        let mut squares = Vector::<F, N>::new(F::new(0.0f32));
        for partial in 0..partial_count {
            let from = partial * per_partial;
            let count = F::cast_from((min(from + per_partial, pixels) - from) as u32);
            let at = partial * 2 * vectors + v;
            let d = partials[at] - mean;
            squares += fma(d * d, Vector::new(count), partials[at + vectors]);
        }
        let c = channel::<N>(v, channels);
        let deviation = (squares / Vector::new(all) + Vector::new(epsilon.get::<F>())).sqrt();
        let inverse = Vector::<F, N>::new(F::new(1.0f32)) / deviation;
        store::<F, F, B, N>(mean_out, c, mean);
        store::<F, F, B, N>(inv_std, c, inverse);
        store::<F, F, B, N>(scale, c, inverse * load::<F, F, B, N>(gamma, c));
        // One pixel has no unbiased variance; its deviation is 0 either way.
        let unbiased = squares / Vector::new(max(all - F::new(1.0f32), F::new(1.0f32)));
        let m = momentum.get::<F>();
        #[unroll]
        for lane in 0..N::value() {
            // Channels that the vector before holds as well have moved already.
            let own = c + lane >= v * N::value();
            if own {
                let (old_mean, old_var) = (running_mean[c + lane], running_var[c + lane]);
                running_mean[c + lane] = old_mean + m * (mean.extract(lane) - old_mean);
                running_var[c + lane] = old_var + m * (unbiased.extract(lane) - old_var);
            }
        }
    }
}

/// `1 / sqrt(var + epsilon)` and the same times `gamma`. One unit owns a run of channels.
#[cube(launch_unchecked)]
fn inverse_deviation<F: Float>(
    variance: &[F],
    gamma: &[F],
    inv_std: &mut [F],
    scale: &mut [F],
    epsilon: InputScalar,
    channels: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    for c in first..min(first + run, channels) {
        let inverse = F::new(1.0f32) / (variance[c] + epsilon.get::<F>()).sqrt();
        inv_std[c] = inverse;
        scale[c] = inverse * gamma[c];
    }
}

impl Statistics {
    fn empty(problem: &BatchNormProblem, norm: &BatchNorm, mean: Option<&Tensor>) -> Self {
        let room = || {
            Tensor::empty(
                norm.gamma.client(),
                &[problem.channels],
                problem.dtype.accumulator(),
            )
        };
        Self {
            mean: mean.cloned().unwrap_or_else(room),
            inv_std: room(),
            scale: room(),
        }
    }
}

/// Launches the moments of the batch and the move of the running statistics.
pub(super) fn launch_batch_statistics(
    problem: &BatchNormProblem,
    x: &Tensor,
    norm: &BatchNorm,
) -> Result<Statistics, KernelError> {
    let client = x.client();
    let &BatchNormProblem {
        pixels,
        channels,
        dtype,
    } = problem;
    let lanes = Lanes::of(client, dtype, channels, &[]);
    let vectors = lanes.vectors();
    let partials = Tensor::room(
        OP,
        "scratch",
        client,
        &[problem.partials(), 2, vectors * lanes.width],
        dtype.accumulator(),
    )?;
    let grid = launch::grid(client, problem.partials());
    // SAFETY: `BatchNormProblem` relates the extents; `partials` has room for two rows of vectors a partial.
    unsafe {
        partial_moments::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            partials.arg(lanes.width),
            lanes.anywhere(x),
            pixels,
            channels,
            vectors,
            problem.per_partial(),
            problem.partials(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::pace(client);
    let statistics = Statistics::empty(problem, norm, None);
    let grid = launch::grid(client, vectors);
    // SAFETY: every per-channel tensor was checked to hold `channels` elements.
    unsafe {
        merge_moments::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            partials.arg(lanes.width),
            lanes.arg(&norm.gamma),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.inv_std),
            lanes.arg(&statistics.scale),
            norm.running_mean.arg(1),
            norm.running_var.arg(1),
            lanes.anywhere(&partials),
            pixels,
            channels,
            vectors,
            problem.per_partial(),
            problem.partials(),
            dtype.scalar(norm.epsilon),
            dtype.scalar(norm.momentum),
            grid.run,
            dtype.elems(),
        );
    }
    launch::pace(client);
    Ok(statistics)
}

/// Launches the running statistics in the form that the other kernels read.
pub(super) fn launch_running_statistics(
    problem: &BatchNormProblem,
    norm: &BatchNorm,
) -> Statistics {
    let client = norm.gamma.client();
    let statistics = Statistics::empty(problem, norm, Some(&norm.running_mean));
    let grid = launch::grid(client, problem.channels);
    // SAFETY: all four hold `channels` elements.
    unsafe {
        inverse_deviation::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            norm.running_var.arg(1),
            norm.gamma.arg(1),
            statistics.inv_std.arg(1),
            statistics.scale.arg(1),
            problem.dtype.scalar(norm.epsilon),
            problem.channels,
            grid.run,
            problem.dtype.accumulator().elem(),
        );
    }
    launch::pace(client);
    statistics
}
