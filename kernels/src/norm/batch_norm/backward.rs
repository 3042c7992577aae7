use super::forward::{Group, pixel_of};
use super::{BatchNorm, BatchNormGrads, BatchNormProblem, Epilogue, Saved, cubes, sums};
use crate::clamp::{Clamp, clamped_grad};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// The gradient before the activation: 0 where its output is at a bound, else `grad`. Without a residual the value is computed
/// again from `x`, in the forward pass' own operations, which is cheaper than reading the output.
#[cube]
pub(super) fn before_activation<S: Float, F: Float, B: Size, N: Size>(
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

/// `grad_x = scale (g - (grad_beta + (x - mean) inv_std grad_gamma) / m)`, m pixels; 0 for channels that were not kept. One unit
/// owns a share of the groups of pixels; pixels past the end are the last one again.
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
    share: Share,
    inverse_count: InputScalar,
    #[comptime] group: Group,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let at_once = comptime!(group.pixels);
    let per_pixel = Vector::<F, N>::new(inverse_count.get::<F>());
    let (first, last) = (share.first(), share.end());
    for i in first..last {
        // Backwards: what the pass before read last is still in the cache.
        let i = first + last - 1 - i;
        for v in share.from()..share.to() {
            let c = channel::<N>(v, kept);
            let centre = load::<F, F, B, N>(mean, c);
            let factor = load::<F, F, B, N>(scale, c);
            let shift = load::<F, F, B, N>(beta, c);
            let offset = load::<F, F, B, N>(grad_beta, c) * per_pixel;
            let slope =
                load::<F, F, B, N>(inv_std, c) * load::<F, F, B, N>(grad_gamma, c) * per_pixel;
            #[unroll]
            for u in 0..at_once {
                let pixel = pixel_of(i, u, pixels, group);
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
        if comptime!(group.spread) {
            if share.from() == 0 {
                #[unroll]
                for u in 0..at_once {
                    let pixel = pixel_of(i, u, pixels, group);
                    for c in kept..channels {
                        zeros[pixel * channels + c] = S::new(0.0f32);
                    }
                }
            }
        } else {
            for pixel in i * at_once..min(i * at_once + at_once, pixels) {
                for c in kept..channels {
                    zeros[pixel * channels + c] = S::new(0.0f32);
                }
            }
        }
    }
}

/// Whether the last phase may write the gradient over `x`: nobody else reads `x` again, and no vector is computed twice, as those are
/// that overlap, are not kept or lie past the end.
fn in_place(problem: &BatchNormProblem, x: &Tensor, lanes: &Lanes, group: Group) -> bool {
    let once = lanes.channels == problem.channels && !lanes.overlap();
    x.is_alone() && once && problem.pixels.is_multiple_of(group.pixels)
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
    let statistics = &saved.statistics;
    let epilogue = Epilogue {
        clamp: saved.clamp,
        residual: saved.output.is_some(),
    };
    let grad_residual = saved
        .output
        .as_ref()
        .map(|output| Tensor::empty(client, output.shape(), dtype));
    let [beta, gamma] = [(); 2].map(|()| Tensor::empty(client, &[channels], dtype.accumulator()));
    let launch_sums = if launch::is_cpu(client) {
        sums::launch_sums
    } else {
        cubes::launch_sums
    };
    let residual = grad_residual.as_ref();
    launch_sums(
        problem,
        norm,
        saved,
        grad,
        &lanes,
        epilogue,
        residual,
        [&beta, &gamma],
    )?;
    let group = Group::of(client);
    let (input, target, rest) = if in_place(problem, x, &lanes, group) {
        // All channels are kept: the kernel touches no rest.
        let over_x = BufferArg::alias(0, lanes.arg(x).len());
        (x.clone(), over_x, beta.arg(1))
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
    let shares = Shares::of(client, problem.pixels.div_ceil(group.pixels), &lanes, 1);
    // SAFETY: as above.
    unsafe {
        grad_input::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
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
            shares.arg(),
            dtype.scalar(planted::or(
                "batch_norm_mean_term",
                1.0 / problem.pixels as f64,
                0.0,
            )),
            group,
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
