use super::{
    BatchNorm, BatchNormProblem, OP, PIXELS_AT_ONCE, PIXELS_OF_BLOCK, ROWS_OF_PARTIAL, Statistics,
};
use crate::cascade::{Cascade, block_end, block_start, blocks, sum_of};
use crate::lanes::{Lanes, channel, load, store};
use crate::norm::partials::tree;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// How the moments of some pixels are merged with those of `known` others: their sums are taken of deviations from one origin, their
/// squares of deviations from each one's own mean. To the squares of both comes that of the distance between their means, times
/// `known count / (known + count)` (Chan, Golub, LeVeque 1983, equation 2.1b): no term is below 0, however far the origin lies away.
#[derive(CubeType, Clone, Copy)]
pub(in crate::norm) struct Merge<F: Float> {
    by_known: F,
    pub(in crate::norm) by_count: F,
    weight: F,
}

#[cube]
impl<F: Float> Merge<F> {
    /// Of `count` pixels, at least 1, with `known`.
    pub(in crate::norm) fn new(known: usize, count: usize) -> Merge<F> {
        let one = F::new(1.0f32);
        let others = F::cast_from(known as u32);
        let own = F::cast_from(count as u32);
        let weight = others * own / (others + own);
        Merge::<F> {
            by_known: one / F::cast_from(max(known, 1) as u32),
            by_count: one / own,
            weight: if comptime!(crate::planted::is("batch_norm_means_not_merged")) {
                F::new(0.0f32)
            } else {
                weight
            },
        }
    }

    /// The squares that come to the known ones: `squares`, and that of the distance.
    pub(in crate::norm) fn squares<N: Size>(
        &self,
        known: Vector<F, N>,
        sum: Vector<F, N>,
        squares: Vector<F, N>,
    ) -> Vector<F, N> {
        let apart = sum * Vector::new(self.by_count) - known * Vector::new(self.by_known);
        fma(apart * apart, Vector::new(self.weight), squares)
    }

    /// Merges `sum` and `squares` into the sum at `offset` of `moments` and the squares `step` behind it.
    fn add<N: Size>(
        &self,
        moments: &mut [Vector<F, N>],
        offset: usize,
        step: usize,
        sum: Vector<F, N>,
        squares: Vector<F, N>,
    ) {
        let known = moments[offset];
        moments[offset + step] += self.squares::<N>(known, sum, squares);
        moments[offset] = known + sum;
    }
}

/// For each channel the sum of deviations from the map's first pixel over a run of pixels, and the sum of squared deviations from their
/// mean. One unit owns a run of partial results, which lie vector beside vector, so that those which overlap in the channels do not
/// here, where they are updated in place; behind each lies that of the block at hand.
///
/// Eight pixels are held in registers, so that their squares are taken of deviations from their own mean. The first pixel goes first,
/// from all: a large common offset cancels before it can swallow the deviations.
#[cube(launch_unchecked)]
fn partial_moments<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    partials: &mut [Vector<F, N>],
    _unaligned: &[S],
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
    let block_len = comptime!(PIXELS_OF_BLOCK);
    let share = Vector::<F, N>::new(F::new(comptime!(1.0 / PIXELS_AT_ONCE as f32)));
    let first = ABSOLUTE_POS * run;
    for partial in first..min(first + run, partial_count) {
        let from = partial * per_partial;
        let to = min(from + per_partial, pixels);
        let all = partial * comptime!(ROWS_OF_PARTIAL) * vectors;
        let own = all + 2 * vectors;
        for v in 0..2 * vectors {
            partials[all + v] = zero;
        }
        for block in 0..(to - from + comptime!(PIXELS_OF_BLOCK - 1)) / block_len {
            let begin = from + block * block_len;
            let end = min(begin + block_len, to);
            for v in 0..2 * vectors {
                partials[own + v] = zero;
            }
            for group in 0..(end - begin) / ahead {
                let merge = Merge::<F>::new(group * ahead, ahead);
                for v in 0..vectors {
                    let c = channel::<N>(v, channels);
                    let origin = load::<S, F, B, N>(x, c);
                    let offset = (begin + group * ahead) * channels + c;
                    let mut deviations = Array::<Vector<F, N>>::new(ahead);
                    #[unroll]
                    for u in 0..ahead {
                        deviations[u] = load::<S, F, B, N>(x, offset + u * channels) - origin;
                    }
                    let sum = tree::<F, N>(&deviations);
                    let mean = sum * share;
                    let mut squared = Array::<Vector<F, N>>::new(ahead);
                    #[unroll]
                    for u in 0..ahead {
                        let d = deviations[u] - mean;
                        squared[u] = d * d;
                    }
                    merge.add::<N>(partials, own + v, vectors, sum, tree::<F, N>(&squared));
                }
            }
            for pixel in begin + (end - begin) / ahead * ahead..end {
                let merge = Merge::<F>::new(pixel - begin, 1);
                for v in 0..vectors {
                    let c = channel::<N>(v, channels);
                    let origin = load::<S, F, B, N>(x, c);
                    let d = load::<S, F, B, N>(x, pixel * channels + c) - origin;
                    merge.add::<N>(partials, own + v, vectors, d, zero);
                }
            }
            let merge = Merge::<F>::new(begin - from, end - begin);
            for v in 0..vectors {
                let (sum, squares) = (partials[own + v], partials[own + vectors + v]);
                merge.add::<N>(partials, all + v, vectors, sum, squares);
            }
        }
    }
}

/// Merges the partial moments in order and moves the running statistics. One unit owns a run of vectors of channels.
///
/// The squared deviations are the partial ones' plus those of the partial means from the mean, which is known by then.
#[cube(launch_unchecked)]
fn merge_moments<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    partials: &[Vector<F, N>],
    gamma: &[Vector<F, B>],
    mean_out: &mut [Vector<F, B>],
    inv_std: &mut [Vector<F, B>],
    scale: &mut [Vector<F, B>],
    running_mean: &mut [F],
    running_var: &mut [F],
    _unaligned: &[S],
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
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let rows = comptime!(ROWS_OF_PARTIAL);
    let first = ABSOLUTE_POS * run;
    for v in first..min(first + run, vectors) {
        let c = channel::<N>(v, channels);
        let all = F::cast_from(pixels as u32);
        let sum = sum_of::<F, F, N>(partials, v, rows * vectors, partial_count);
        let distance = sum / Vector::new(all);
        let mean = load::<S, F, B, N>(x, c) + distance;
        let mut squares = Cascade::<F, N>::new();
        for block in 0..blocks(partial_count) {
            let mut part = zero;
            for partial in block_start(block)..block_end(block, partial_count) {
                let from = partial * per_partial;
                let count = F::cast_from((min(from + per_partial, pixels) - from) as u32);
                let count = Vector::<F, N>::new(count);
                let offset = partial * rows * vectors + v;
                let d = partials[offset] / count - distance;
                part += fma(d * d, count, partials[offset + vectors]);
            }
            squares.add(part);
        }
        let squares = squares.total();
        let deviation = (squares / Vector::new(all) + Vector::new(epsilon.get::<F>())).sqrt();
        let inverse = Vector::<F, N>::new(F::new(1.0f32)) / deviation;
        store::<F, F, B, N>(mean_out, c, mean);
        store::<F, F, B, N>(inv_std, c, inverse);
        store::<F, F, B, N>(scale, c, inverse * load::<F, F, B, N>(gamma, c));
        // One pixel has no unbiased variance; its deviation is 0 either way.
        let unbiased = squares / Vector::new(F::cast_from((max(pixels, 2) - 1) as u32));
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
    pub(super) fn empty(problem: &BatchNormProblem, norm: &BatchNorm) -> Self {
        let room = || {
            Tensor::empty(
                norm.gamma.client(),
                &[problem.channels],
                problem.dtype.accumulator(),
            )
        };
        Self {
            mean: room(),
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
        &[problem.partials(), ROWS_OF_PARTIAL, vectors * lanes.width],
        dtype.accumulator(),
    )?;
    let grid = launch::grid(client, problem.partials());
    // SAFETY: `BatchNormProblem` relates the extents; `partials` has room for all rows of vectors of a partial result.
    unsafe {
        partial_moments::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            partials.arg(lanes.width),
            lanes.unaligned(x),
            pixels,
            channels,
            vectors,
            problem.per_partial(),
            problem.partials(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    let statistics = Statistics::empty(problem, norm);
    let grid = launch::grid(client, vectors);
    // SAFETY: every per-channel tensor was checked to hold `channels` elements.
    unsafe {
        merge_moments::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            partials.arg(lanes.width),
            lanes.arg(&norm.gamma),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.inv_std),
            lanes.arg(&statistics.scale),
            norm.running_mean.arg(1),
            norm.running_var.arg(1),
            lanes.unaligned(&partials),
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
    launch::throttle(client);
    Ok(statistics)
}

/// Launches the running statistics in the form that the other kernels read.
pub(super) fn launch_running_statistics(norm: &BatchNorm) -> Statistics {
    let [inv_std, scale] = launch_running_scale(&norm.gamma, &norm.running_var, norm.epsilon);
    Statistics {
        mean: norm.running_mean.clone(),
        inv_std,
        scale,
    }
}

/// Launches the inverse running deviation, and the same times `gamma`.
pub(super) fn launch_running_scale(
    gamma: &Tensor,
    running_var: &Tensor,
    epsilon: f64,
) -> [Tensor; 2] {
    let (client, channels, dtype) = (gamma.client(), gamma.len(), gamma.dtype());
    let [inv_std, scale] = [(); 2].map(|()| Tensor::empty(client, &[channels], dtype));
    let grid = launch::grid_for(client, channels, channels);
    // SAFETY: all four hold `channels` elements.
    unsafe {
        inverse_deviation::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            running_var.arg(1),
            gamma.arg(1),
            inv_std.arg(1),
            scale.arg(1),
            dtype.scalar(epsilon),
            channels,
            grid.run,
            dtype.elem(),
        );
    }
    launch::throttle(client);
    [inv_std, scale]
}
