use super::stats::tree;
use super::{
    BatchNorm, BatchNormGrads, BatchNormProblem, Epilogue, OP, PIXELS_AT_ONCE, PIXELS_OF_BLOCK,
    ROWS_OF_PARTIAL, Saved,
};
use crate::cascade::sum_of;
use crate::clamp::{Clamp, clamped_grad};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Pixels that share one load of a channel's statistics.
const PIXELS: usize = 4;

/// The gradient before the activation: 0 where its output is at a bound, else `grad`. Without a residual the value is computed
/// again from `x`, in the forward pass' own operations, which is cheaper than reading the output.
#[cube]
fn before_activation<S: Float, F: Float, B: Size, N: Size>(
    grad: Vector<F, N>,
    y: &[Vector<S, B>],
    y_at: usize,
    deviation: Vector<F, N>,
    scale: Vector<F, N>,
    shift: Vector<F, N>,
    #[comptime] epilogue: Epilogue,
) -> Vector<F, N> {
    let clamp = comptime!(epilogue.clamp);
    if comptime!(clamp == Clamp::None) {
        grad
    } else if comptime!(epilogue.residual) {
        clamped_grad::<F, N>(load::<S, F, B, N>(y, y_at), grad, clamp)
    } else {
        clamped_grad::<F, N>(fma(deviation, scale, shift), grad, clamp)
    }
}

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

/// `grad_x = scale (g - (grad_beta + (x - mean) inv_std grad_gamma) / m)`, m pixels; 0 for channels that were not kept. One unit
/// owns a run of groups of `PIXELS` pixels; pixels past the end are the last one again.
#[cube(launch_unchecked)]
fn grad_input<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    mean: &[Vector<F, B>],
    inv_std: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    grad_beta: &[Vector<F, B>],
    grad_gamma: &[Vector<F, B>],
    out: &mut [Vector<S, B>],
    zeros: &mut [S],
    _unaligned: &[S],
    grad_view: View,
    pixels: usize,
    channels: usize,
    kept: usize,
    vectors: usize,
    inverse_count: InputScalar,
    run: usize,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let at_once = comptime!(PIXELS);
    let groups = (pixels + comptime!(PIXELS - 1)) / at_once;
    let per_pixel = Vector::<F, N>::new(inverse_count.get::<F>());
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, groups);
    for i in first..last {
        // Backwards: what the pass before read last is still in the cache.
        let group = first + last - 1 - i;
        for v in 0..vectors {
            let c = channel::<N>(v, kept);
            let centre = load::<F, F, B, N>(mean, c);
            let factor = load::<F, F, B, N>(scale, c);
            let shift = load::<F, F, B, N>(beta, c);
            let offset = load::<F, F, B, N>(grad_beta, c) * per_pixel;
            let slope =
                load::<F, F, B, N>(inv_std, c) * load::<F, F, B, N>(grad_gamma, c) * per_pixel;
            #[unroll]
            for u in 0..at_once {
                let pixel = min(group * at_once + u, pixels - 1);
                let first_element = pixel * channels + c;
                let d = load::<S, F, B, N>(x, first_element) - centre;
                let g = before_activation::<S, F, B, N>(
                    load::<S, F, B, N>(grad, grad_view.at(pixel) + c),
                    x,
                    first_element,
                    d,
                    factor,
                    shift,
                    epilogue,
                );
                store::<S, F, B, N>(out, first_element, factor * (g - offset - d * slope));
            }
        }
        for pixel in group * at_once..min(group * at_once + at_once, pixels) {
            for c in kept..channels {
                zeros[pixel * channels + c] = S::new(0.0f32);
            }
        }
    }
}

/// Whether the last phase may write the gradient over `x`: nobody else reads `x` again, and no vector is computed twice, as those are
/// that overlap, are not kept or lie past the end.
fn in_place(problem: &BatchNormProblem, x: &Tensor, lanes: &Lanes) -> bool {
    let once = lanes.channels == problem.channels && !lanes.overlap();
    x.is_alone() && once && problem.pixels.is_multiple_of(PIXELS)
}

/// Launches the three phases; `grad` may be a window, of at most as many channels as `x`.
pub(super) fn launch_backward(
    problem: &BatchNormProblem,
    norm: &BatchNorm,
    saved: &Saved,
    grad: &Tensor,
) -> Result<BatchNormGrads, KernelError> {
    let client = grad.client();
    let x = &saved.input;
    let (dtype, channels) = (problem.dtype, problem.channels);
    let kept = grad.len() / problem.pixels;
    let y = saved.output.as_ref().unwrap_or(x);
    let lanes = Lanes::of(client, dtype, kept, &[x, grad, y]);
    let (vectors, statistics) = (lanes.vectors(), &saved.statistics);
    let epilogue = Epilogue {
        clamp: saved.clamp,
        residual: saved.output.is_some(),
    };
    let grad_residual = saved
        .output
        .as_ref()
        .map(|output| Tensor::empty(client, output.shape(), dtype));
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
            lanes.arg(grad_residual.as_ref().unwrap_or(&partials)),
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
    let [beta, gamma] = [(); 2].map(|()| Tensor::empty(client, &[channels], dtype.accumulator()));
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
            lanes.arg(&beta),
            lanes.arg(&gamma),
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
    let (input, target, rest) = if in_place(problem, x, &lanes) {
        // All channels are kept: the kernel touches no rest.
        let over_x = BufferArg::alias(0, lanes.arg(x).len());
        (x.clone(), over_x, partials.arg(1))
    } else {
        let input = Tensor::empty(client, x.shape(), dtype);
        let (target, rest) = (lanes.arg(&input), input.arg(1));
        (input, target, rest)
    };
    // With a residual, the first phase already wrote the gradient before the activation.
    let (before, epilogue) = match &grad_residual {
        Some(before) => (
            before,
            Epilogue {
                clamp: Clamp::None,
                residual: false,
            },
        ),
        None => (grad, epilogue),
    };
    let grid = launch::grid(client, problem.pixels.div_ceil(PIXELS));
    // SAFETY: as above.
    unsafe {
        grad_input::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(before),
            lanes.arg(&statistics.mean),
            lanes.arg(&statistics.inv_std),
            lanes.arg(&statistics.scale),
            lanes.arg(&norm.beta),
            lanes.arg(&beta),
            lanes.arg(&gamma),
            target,
            rest,
            lanes.unaligned(x),
            before.view(),
            problem.pixels,
            channels,
            kept,
            vectors,
            dtype.scalar(planted::or(
                "batch_norm_mean_term",
                1.0 / problem.pixels as f64,
                0.0,
            )),
            grid.run,
            epilogue,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(BatchNormGrads {
        input,
        residual: grad_residual,
        gamma,
        beta,
    })
}
