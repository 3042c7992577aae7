use super::backward::before_activation;
use super::{
    BatchNorm, BatchNormProblem, Epilogue, OP, PIXELS_AT_ONCE, PIXELS_OF_BLOCK, ROWS_OF_PARTIAL,
    Saved,
};
use crate::cascade::sum_of;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::norm::partials::tree;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Sums of `g` and of `g (x - mean)` for each kept channel over a run of pixels, `g` being the gradient before the activation, which
/// is also the residual's gradient and written as such. One unit owns a run of partial results, vector beside vector; behind each lies
/// that of the block at hand.
#[cube(launch_unchecked)]
fn partial_sums<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    mean: &[Vector<F, B>],
    inv_std: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    grad_residual: &mut [Vector<S, B>],
    partials: &mut [Vector<F, N>],
    _unaligned: &[S],
    grad_view: View,
    y_view: View,
    pixels: usize,
    channels: usize,
    kept: usize,
    vectors: usize,
    per_partial: usize,
    partial_count: usize,
    run: usize,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ahead = comptime!(PIXELS_AT_ONCE);
    let first = ABSOLUTE_POS * run;
    for partial in first..min(first + run, partial_count) {
        let from = partial * per_partial;
        let to = min(from + per_partial, pixels);
        let all = partial * comptime!(ROWS_OF_PARTIAL) * vectors;
        let sums = all + 2 * vectors;
        let products = sums + vectors;
        for v in 0..4 * vectors {
            partials[all + v] = zero;
        }
        let groups = (to - from + comptime!(PIXELS_AT_ONCE - 1)) / ahead;
        for group in 0..groups {
            for v in 0..vectors {
                let c = channel::<N>(v, kept);
                let centre = load::<F, F, B, N>(mean, c);
                let slope = load::<F, F, B, N>(scale, c);
                let shift = load::<F, F, B, N>(beta, c);
                let mut sum = Array::<Vector<F, N>>::new(ahead);
                let mut product = Array::<Vector<F, N>>::new(ahead);
                #[unroll]
                for u in 0..ahead {
                    let pixel = from + group * ahead + u;
                    sum[u] = zero;
                    product[u] = zero;
                    if pixel < to {
                        let first_element = pixel * channels + c;
                        let d = load::<S, F, B, N>(x, first_element) - centre;
                        let g = before_activation::<S, F, B, N>(
                            load::<S, F, B, N>(grad, grad_view.at(pixel) + c),
                            y,
                            y_view.at(pixel) + c,
                            d,
                            slope,
                            shift,
                            epilogue,
                        );
                        if comptime!(epilogue.residual) {
                            store::<S, F, B, N>(grad_residual, first_element, g);
                        }
                        sum[u] = g;
                        product[u] = g * d;
                    }
                }
                partials[sums + v] += tree::<F, N>(&sum);
                partials[products + v] += tree::<F, N>(&product);
            }
            if (group + 1) % comptime!(PIXELS_OF_BLOCK / PIXELS_AT_ONCE) == 0 || group + 1 == groups
            {
                for v in 0..2 * vectors {
                    partials[all + v] += partials[sums + v];
                    partials[sums + v] = zero;
                }
            }
        }
        for v in 0..vectors {
            // The derivative by gamma is the sum of g (x - mean) inv_std.
            partials[all + vectors + v] *= load::<F, F, B, N>(inv_std, channel::<N>(v, kept));
        }
    }
}

/// Adds the partial sums in order: the gradients of `beta` and `gamma`, 0 for channels that were not kept. One unit owns a run of
/// vectors of channels.
#[cube(launch_unchecked)]
fn add_sums<S: Float, F: Float, B: Size, N: Size>(
    partials: &[Vector<F, N>],
    beta: &mut [Vector<F, B>],
    gamma: &mut [Vector<F, B>],
    beta_rest: &mut [F],
    gamma_rest: &mut [F],
    _unaligned: &[S],
    channels: usize,
    kept: usize,
    vectors: usize,
    partial_count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let first = ABSOLUTE_POS * run;
    for v in first..min(first + run, vectors) {
        let step = comptime!(ROWS_OF_PARTIAL) * vectors;
        let sum = sum_of::<F, F, N>(partials, v, step, partial_count);
        let product = sum_of::<F, F, N>(partials, vectors + v, step, partial_count);
        store::<F, F, B, N>(beta, channel::<N>(v, kept), sum);
        store::<F, F, B, N>(gamma, channel::<N>(v, kept), product);
    }
    if ABSOLUTE_POS == 0 {
        for c in kept..channels {
            beta_rest[c] = F::new(0.0f32);
            gamma_rest[c] = F::new(0.0f32);
        }
    }
}

/// Launches the sums of the gradient into those of beta and gamma, `[c]` each, and where there is a residual its own gradient.
pub(super) fn launch_sums(
    problem: &BatchNormProblem,
    norm: &BatchNorm,
    saved: &Saved,
    grad: &Tensor,
    lanes: &Lanes,
    epilogue: Epilogue,
    grad_residual: Option<&Tensor>,
    [beta, gamma]: [&Tensor; 2],
) -> Result<(), KernelError> {
    let (client, dtype, channels) = (grad.client(), problem.dtype, problem.channels);
    let (x, statistics) = (&saved.input, &saved.statistics);
    let y = saved.output.as_ref().unwrap_or(x);
    let (kept, vectors) = (lanes.channels, lanes.vectors());
    let partials = Tensor::room(
        OP,
        "scratch",
        client,
        &[problem.partials(), ROWS_OF_PARTIAL, vectors * lanes.width],
        dtype.accumulator(),
    )?;
    let grid = launch::grid(client, problem.partials());
    // SAFETY: `BatchNormProblem` relates the extents; without a residual the kernel touches neither `y` nor its gradient.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            lanes.arg(grad),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.inv_std),
            lanes.arg(&statistics.scale),
            lanes.arg(&norm.beta),
            lanes.arg(grad_residual.unwrap_or(&partials)),
            partials.arg(lanes.width),
            lanes.unaligned(x),
            grad.view(),
            y.view(),
            problem.pixels,
            channels,
            kept,
            vectors,
            problem.per_partial(),
            problem.partials(),
            grid.run,
            epilogue,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    let grid = launch::grid(client, vectors);
    // SAFETY: as above; both sums hold `channels` elements.
    unsafe {
        add_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            partials.arg(lanes.width),
            lanes.arg(beta),
            lanes.arg(gamma),
            beta.arg(1),
            gamma.arg(1),
            lanes.unaligned(&partials),
            channels,
            kept,
            vectors,
            problem.partials(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
