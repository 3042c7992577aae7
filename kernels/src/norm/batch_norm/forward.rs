use super::{BatchNorm, BatchNormProblem, Epilogue, Statistics, Strip};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `y = act((x - mean) inv_std gamma + beta + residual)`. One unit owns a run of pixels.
#[cube(launch_unchecked)]
fn normalise<F: Float, N: Size>(
    x: &[Vector<F, N>],
    residual: &[Vector<F, N>],
    mean: &[Vector<F, N>],
    inv_std: &[Vector<F, N>],
    gamma: &[Vector<F, N>],
    beta: &[Vector<F, N>],
    y: &mut [Vector<F, N>],
    pixels: usize,
    channel_vectors: usize,
    run: usize,
    #[comptime] strip: Strip,
    #[comptime] epilogue: Epilogue,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let vectors = comptime!(strip.vectors);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, pixels);
    for column in 0..channel_vectors / vectors {
        let at = column * vectors;
        let mut centre = Array::<Vector<F, N>>::new(vectors);
        let mut scale = Array::<Vector<F, N>>::new(vectors);
        let mut shift = Array::<Vector<F, N>>::new(vectors);
        #[unroll]
        for v in 0..vectors {
            centre[v] = mean[at + v];
            scale[v] = inv_std[at + v] * gamma[at + v];
            shift[v] = beta[at + v];
        }
        for pixel in first..last {
            #[unroll]
            for v in 0..vectors {
                let i = pixel * channel_vectors + at + v;
                let mut value = fma(x[i] - centre[v], scale[v], shift[v]);
                if comptime!(epilogue.residual) {
                    value += residual[i];
                }
                if comptime!(epilogue.relu) {
                    value = max(value, zero);
                }
                y[i] = value;
            }
        }
    }
}

/// Launches the normalisation into `y`.
pub(super) fn launch_normalise(
    problem: &BatchNormProblem,
    x: &Tensor,
    residual: Option<&Tensor>,
    norm: &BatchNorm,
    statistics: &Statistics,
    relu: bool,
    y: &Tensor,
) {
    let client = x.client();
    let width = launch::width(client, problem.dtype, problem.channels);
    let grid = launch::grid(client, problem.pixels);
    // SAFETY: `BatchNormProblem` relates the extents; without a residual the kernel never reads that argument.
    unsafe {
        normalise::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            x.arg(width),
            residual.unwrap_or(x).arg(width),
            statistics.mean.arg(width),
            statistics.inv_std.arg(width),
            norm.gamma.arg(width),
            norm.beta.arg(width),
            y.arg(width),
            problem.pixels,
            problem.channels / width,
            grid.run,
            Strip::new(problem.channels / width),
            Epilogue {
                relu,
                residual: residual.is_some(),
            },
            problem.dtype.elem(),
        );
    }
    launch::pace(client);
}
