use super::super::{BatchNorm, BatchNormProblem, OP, Statistics};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::columns::Columns;
use crate::lanes::{Lanes, load, store};
use crate::norm::moments::{around, launch_moments, sum_of_four};
use crate::norm::partials::{Partials, Planes, sum_of_runs};
use crate::norm::runs::{AHEAD, Layout};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Merges the moments of all runs, and moves the running statistics. One cube owns a slice of the channels.
#[cube(launch_unchecked)]
fn merge_moments_by_cubes<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    partials: &[Vector<F, N>],
    gamma: &[Vector<F, B>],
    mean_out: &mut [Vector<F, B>],
    inv_std: &mut [Vector<F, B>],
    scale: &mut [Vector<F, B>],
    running_mean: &mut [Vector<F, B>],
    running_var: &mut [Vector<F, B>],
    planes: Planes,
    pixels: usize,
    per_run: usize,
    epsilon: InputScalar,
    momentum: InputScalar,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut columns = Columns::<F, N>::new(planes.lanes);
    let (row, rows) = (columns.row, columns.rows);
    let v = CUBE_POS * planes.lanes + columns.lane;
    let there = row == 0 && v < planes.vectors;
    let v = min(v, planes.vectors - 1);
    let (own, step) = (planes.own(row, rows), planes.step(rows));
    let (first, first_squares) = (planes.index(0usize, row, v), planes.index(1usize, row, v));
    let all = Vector::<F, N>::new(F::cast_from(pixels as u32));
    let sum = sum_of_runs::<F, N>(partials, first, step, own);
    let distance = columns.sum(sum) / all;
    let ahead = comptime!(AHEAD);
    let mut squares = Cascade::<F, N>::new();
    for block in 0..blocks(own) {
        let mut part = zero;
        let end = block_end(block, own);
        let mut i = block_start(block);
        while i < end {
            let mut terms = Array::<Vector<F, N>>::new(ahead);
            #[unroll]
            for u in 0..ahead {
                let i = min(i + u, end - 1);
                let from = (row + i * rows) * per_run;
                let count = min(from + per_run, pixels) - from;
                let mean = partials[first + i * step] / Vector::new(F::cast_from(count as u32));
                let squares = partials[first_squares + i * step];
                terms[u] = around::<F, N>(squares, mean - distance, count);
            }
            #[unroll]
            for u in 0..ahead {
                if i + u >= end {
                    terms[u] = zero;
                }
            }
            part += sum_of_four::<F, N>(&terms);
            i += ahead;
        }
        squares.add(part);
    }
    let squares = columns.sum(squares.total());
    if there {
        let c = v * N::value();
        let mean = load::<S, F, B, N>(x, c) + distance;
        let deviation = (squares / all + Vector::new(epsilon.get::<F>())).sqrt();
        let inverse = Vector::<F, N>::new(F::new(1.0f32)) / deviation;
        store::<F, F, B, N>(mean_out, c, mean);
        store::<F, F, B, N>(inv_std, c, inverse);
        store::<F, F, B, N>(scale, c, inverse * load::<F, F, B, N>(gamma, c));
        // One pixel has no unbiased variance; its deviation is 0 either way.
        let unbiased = squares / Vector::new(F::cast_from((max(pixels, 2) - 1) as u32));
        let m = Vector::<F, N>::new(momentum.get::<F>());
        let old_mean = load::<F, F, B, N>(&*running_mean, c);
        let old_var = load::<F, F, B, N>(&*running_var, c);
        store::<F, F, B, N>(running_mean, c, old_mean + m * (mean - old_mean));
        store::<F, F, B, N>(running_var, c, old_var + m * (unbiased - old_var));
    }
}

/// Launches what [`stats`](super::super::stats) launches, on a device that is no CPU.
pub(in crate::norm::batch_norm) fn launch_batch_statistics(
    problem: &BatchNormProblem,
    x: &Tensor,
    norm: &BatchNorm,
) -> Result<Statistics, KernelError> {
    let client = x.client();
    let (pixels, dtype) = (problem.pixels, problem.dtype);
    let lanes = Lanes::of(client, dtype, problem.channels, &[]);
    let layout = Layout::of(client, 1, pixels, lanes.vectors());
    let partials = Partials::room(OP, client, dtype, layout.count(), &lanes)?;
    launch_moments(x, &layout, &partials, &lanes, false);
    let statistics = Statistics::empty(problem, norm);
    let cubes = partials.cubes(1);
    // SAFETY: `BatchNormProblem` relates the extents; every per-channel tensor was checked to hold `channels` elements.
    unsafe {
        merge_moments_by_cubes::launch_unchecked(
            client,
            cubes.count,
            cubes.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            partials.scratch.arg(lanes.width),
            lanes.arg(&norm.gamma),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.inv_std),
            lanes.arg(&statistics.scale),
            lanes.arg(&norm.running_mean),
            lanes.arg(&norm.running_var),
            partials.arg(),
            pixels,
            layout.per_run(),
            dtype.scalar(norm.epsilon),
            dtype.scalar(norm.momentum),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(statistics)
}
