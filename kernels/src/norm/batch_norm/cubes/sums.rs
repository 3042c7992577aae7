use super::super::backward::before_activation;
use super::super::{BatchNorm, BatchNormProblem, Epilogue, OP, Saved};
use crate::columns::Columns;
use crate::lanes::{Lanes, View, load, store};
use crate::norm::partials::{Partials, Planes, launch_add};
use crate::norm::runs::{AHEAD, Layout, Runs};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Sums of `g` and of `g (x - mean)` for each kept channel and run, `g` being the gradient before the activation, which is also the
/// residual's gradient and written as such. One cube owns a run of pixels and a slice of the channels.
#[cube(launch_unchecked)]
fn sums_by_cubes<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    mean: &[Vector<F, B>],
    inv_std: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    grad_residual: &mut [Vector<S, B>],
    partials: &mut [Vector<F, N>],
    grad_view: View,
    y_view: View,
    runs: Runs,
    planes: Planes,
    channels: usize,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ahead = comptime!(AHEAD);
    let mut columns = Columns::<F, N>::new(runs.lanes);
    let rows = columns.rows;
    let v = runs.vector(columns.lane);
    let there = runs.there(v);
    let v = min(v, runs.vectors - 1);
    let c = v * N::value();
    let (from, to) = (runs.from(), runs.to());
    let centre = load::<F, F, B, N>(mean, c);
    let slope = load::<F, F, B, N>(scale, c);
    let shift = load::<F, F, B, N>(beta, c);
    let mut sum = zero;
    let mut product = zero;
    let mut pixel = from + columns.row;
    while pixel < to {
        let mut d = Array::<Vector<F, N>>::new(ahead);
        let mut g = Array::<Vector<F, N>>::new(ahead);
        #[unroll]
        for u in 0..ahead {
            // Pixels past the end are the last one, and count for nothing.
            let own = min(pixel + u * rows, to - 1);
            d[u] = load::<S, F, B, N>(x, own * channels + c) - centre;
            g[u] = load::<S, F, B, N>(grad, grad_view.at(own) + c);
        }
        #[unroll]
        for u in 0..ahead {
            let own = pixel + u * rows;
            let g = before_activation::<S, F, B, N>(
                g[u],
                y,
                y_view.at(min(own, to - 1)) + c,
                d[u],
                slope,
                shift,
                epilogue,
            );
            if own < to {
                if comptime!(epilogue.residual) {
                    if there {
                        store::<S, F, B, N>(grad_residual, own * channels + c, g);
                    }
                }
                sum += g;
                product = fma(g, d[u], product);
            }
        }
        pixel += rows * ahead;
    }
    let sum = columns.sum(sum);
    let product = columns.sum(product);
    if there && columns.row == 0 {
        partials[planes.index(0usize, runs.run(), v)] = sum;
        // The derivative by gamma is the sum of g (x - mean) inv_std.
        let normal = product * load::<F, F, B, N>(inv_std, c);
        partials[planes.index(1usize, runs.run(), v)] = normal;
    }
}

/// Launches the sums of the gradient into those of beta and gamma, `[c]` each, and where there is a residual its own gradient, on a
/// device that is no CPU.
pub(in crate::norm::batch_norm) fn launch_sums(
    problem: &BatchNormProblem,
    norm: &BatchNorm,
    saved: &Saved,
    grad: &Tensor,
    lanes: &Lanes,
    epilogue: Epilogue,
    grad_residual: Option<&Tensor>,
    [beta, gamma]: [&Tensor; 2],
) -> Result<(), KernelError> {
    let (client, dtype) = (grad.client(), problem.dtype);
    let (x, statistics) = (&saved.input, &saved.statistics);
    let y = saved.output.as_ref().unwrap_or(x);
    let layout = Layout::of(client, 1, problem.pixels, lanes.vectors());
    let partials = Partials::room(OP, client, dtype, layout.count(), lanes)?;
    // SAFETY: `BatchNormProblem` relates the extents; without a residual the kernel touches neither `y` nor its gradient.
    unsafe {
        sums_by_cubes::launch_unchecked(
            client,
            layout.cubes.count.clone(),
            layout.cubes.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            lanes.arg(grad),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.inv_std),
            lanes.arg(&statistics.scale),
            lanes.arg(&norm.beta),
            lanes.arg(grad_residual.unwrap_or(&partials.scratch)),
            partials.scratch.arg(lanes.width),
            grad.view(),
            y.view(),
            layout.arg(),
            partials.arg(),
            problem.channels,
            epilogue,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    launch_add(&partials, lanes, beta, gamma);
    Ok(())
}
