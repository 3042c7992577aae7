use super::{BatchNorm, BatchNormProblem, Epilogue, Statistics};
use crate::clamp::{Clamp, clamped};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Pixels that share one load of a channel's statistics.
const PIXELS: usize = 4;

/// `y = act((x - mean) scale + beta + residual)` for the first channels of `x`, as many as `y` has. One unit owns a run of groups of
/// `PIXELS` pixels; pixels past the end are the last one again, written twice with the same value.
#[cube(launch_unchecked)]
fn normalise<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    residual: &[Vector<S, B>],
    mean: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    y_view: View,
    residual_view: View,
    span: usize,
    pixels: usize,
    channels: usize,
    kept: usize,
    vectors: usize,
    run: usize,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let at_once = comptime!(PIXELS);
    let groups = (pixels + comptime!(PIXELS - 1)) / at_once;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, groups);
    for i in first..last {
        // Backwards: what the pass before read last is still in the cache.
        let group = first + last - 1 - i;
        for v in 0..vectors {
            let c = channel::<N>(v, kept);
            let centre = load::<F, F, B, N>(mean, c);
            let slope = load::<F, F, B, N>(scale, c);
            let shift = load::<F, F, B, N>(beta, c);
            #[unroll]
            for u in 0..at_once {
                let pixel = min(group * at_once + u, pixels - 1);
                let offset = pixel * channels + c;
                let mut value = fma(load::<S, F, B, N>(x, offset) - centre, slope, shift);
                if comptime!(epilogue.residual) {
                    value += load::<S, F, B, N>(residual, residual_view.at(pixel / span) + c);
                }
                value = clamped::<F, N>(value, comptime!(epilogue.clamp));
                store::<S, F, B, N>(y, y_view.at(pixel) + c, value);
            }
        }
    }
}

/// Launches the normalisation into `y`, which may be a window, of at most as many channels as `x`.
pub(super) fn launch_normalise(
    problem: &BatchNormProblem,
    x: &Tensor,
    residual: Option<&Tensor>,
    norm: &BatchNorm,
    statistics: &Statistics,
    clamp: Clamp,
    y: &Tensor,
) {
    let client = x.client();
    let kept = y.len() / problem.pixels;
    let lanes = Lanes::of(client, problem.dtype, kept, &[x, y, residual.unwrap_or(x)]);
    let grid = launch::grid(client, problem.pixels.div_ceil(PIXELS));
    // SAFETY: `BatchNormProblem` relates the extents; without a residual the kernel never reads that argument.
    unsafe {
        normalise::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(residual.unwrap_or(x)),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.scale),
            lanes.arg(&norm.beta),
            lanes.arg(y),
            lanes.unaligned(x),
            y.view(),
            residual.unwrap_or(x).view(),
            residual.map_or(1, |residual| problem.pixels / residual.pixels()),
            problem.pixels,
            problem.channels,
            kept,
            lanes.vectors(),
            grid.run,
            Epilogue {
                clamp,
                residual: residual.is_some(),
            },
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
}
