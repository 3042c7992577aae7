use super::{BatchNorm, BatchNormGrads, BatchNormProblem, Epilogue, Saved, Strip};
use crate::pointwise::sum_rows;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// The gradient before the activation: `grad` where the output is positive, else 0. Without a residual the sign is computed
/// again from `x`, in the forward pass' own operations, which is cheaper than reading the output.
#[cube]
fn before_activation<F: Float, N: Size>(
    grad: Vector<F, N>,
    y: &[Vector<F, N>],
    i: usize,
    deviation: Vector<F, N>,
    scale: Vector<F, N>,
    shift: Vector<F, N>,
    #[comptime] epilogue: Epilogue,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    if comptime!(!epilogue.relu) {
        grad
    } else if comptime!(epilogue.residual) {
        select_many(y[i].greater_than(&zero), grad, zero)
    } else {
        select_many(fma(deviation, scale, shift).greater_than(&zero), grad, zero)
    }
}

/// Sums of `g` and of `g (x - mean)` for each channel over a run of pixels, `g` being the gradient before the activation, which
/// is also the residual's gradient and written as such. One unit owns a run of partial results.
#[cube(launch_unchecked)]
fn partial_sums<F: Float, N: Size>(
    x: &[Vector<F, N>],
    y: &[Vector<F, N>],
    grad: &[Vector<F, N>],
    mean: &[Vector<F, N>],
    inv_std: &[Vector<F, N>],
    gamma: &[Vector<F, N>],
    beta: &[Vector<F, N>],
    grad_residual: &mut [Vector<F, N>],
    partials: &mut [Vector<F, N>],
    pixels: usize,
    channel_vectors: usize,
    per_partial: usize,
    partial_count: usize,
    run: usize,
    #[comptime] strip: Strip,
    #[comptime] epilogue: Epilogue,
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
            let mut centre = Array::<Vector<F, N>>::new(vectors);
            let mut scale = Array::<Vector<F, N>>::new(vectors);
            let mut shift = Array::<Vector<F, N>>::new(vectors);
            let mut sum = Array::<Vector<F, N>>::new(vectors * ahead);
            let mut product = Array::<Vector<F, N>>::new(vectors * ahead);
            #[unroll]
            for v in 0..vectors {
                centre[v] = mean[at + v];
                scale[v] = inv_std[at + v] * gamma[at + v];
                shift[v] = beta[at + v];
            }
            #[unroll]
            for i in 0..vectors * ahead {
                sum[i] = zero;
                product[i] = zero;
            }
            for group in 0..(even - from) / ahead {
                let pixel = from + group * ahead;
                #[unroll]
                for u in 0..ahead {
                    #[unroll]
                    for v in 0..vectors {
                        let i = (pixel + u) * channel_vectors + at + v;
                        let d = x[i] - centre[v];
                        let g = before_activation::<F, N>(
                            grad[i], y, i, d, scale[v], shift[v], epilogue,
                        );
                        if comptime!(epilogue.residual) {
                            grad_residual[i] = g;
                        }
                        sum[u * vectors + v] += g;
                        product[u * vectors + v] = fma(g, d, product[u * vectors + v]);
                    }
                }
            }
            for pixel in even..to {
                #[unroll]
                for v in 0..vectors {
                    let i = pixel * channel_vectors + at + v;
                    let d = x[i] - centre[v];
                    let g =
                        before_activation::<F, N>(grad[i], y, i, d, scale[v], shift[v], epilogue);
                    if comptime!(epilogue.residual) {
                        grad_residual[i] = g;
                    }
                    sum[v] += g;
                    product[v] = fma(g, d, product[v]);
                }
            }
            #[unroll]
            for v in 0..vectors {
                #[unroll]
                for u in 1..ahead {
                    sum[v] = sum[v] + sum[u * vectors + v];
                    product[v] = product[v] + product[u * vectors + v];
                }
                let out = partial * 2 * channel_vectors + at + v;
                partials[out] = sum[v];
                // The derivative by gamma is the sum of g (x - mean) inv_std.
                partials[out + channel_vectors] = product[v] * inv_std[at + v];
            }
        }
    }
}

/// `grad_x = inv_std gamma (g - grad_beta / m - (x - mean) inv_std grad_gamma / m)`, m pixels. One unit owns a run of pixels.
#[cube(launch_unchecked)]
fn grad_input<F: Float, N: Size>(
    x: &[Vector<F, N>],
    grad: &[Vector<F, N>],
    mean: &[Vector<F, N>],
    inv_std: &[Vector<F, N>],
    gamma: &[Vector<F, N>],
    beta: &[Vector<F, N>],
    sums: &[Vector<F, N>],
    out: &mut [Vector<F, N>],
    pixels: usize,
    channel_vectors: usize,
    run: usize,
    #[comptime] strip: Strip,
    #[comptime] epilogue: Epilogue,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let vectors = comptime!(strip.vectors);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, pixels);
    let count = Vector::<F, N>::cast_from(F::cast_from(pixels as u32));
    for column in 0..channel_vectors / vectors {
        let at = column * vectors;
        let mut centre = Array::<Vector<F, N>>::new(vectors);
        let mut scale = Array::<Vector<F, N>>::new(vectors);
        let mut shift = Array::<Vector<F, N>>::new(vectors);
        let mut offset = Array::<Vector<F, N>>::new(vectors);
        let mut slope = Array::<Vector<F, N>>::new(vectors);
        #[unroll]
        for v in 0..vectors {
            centre[v] = mean[at + v];
            scale[v] = inv_std[at + v] * gamma[at + v];
            shift[v] = beta[at + v];
            offset[v] = sums[at + v] / count;
            slope[v] = inv_std[at + v] * sums[channel_vectors + at + v] / count;
        }
        for pixel in first..last {
            #[unroll]
            for v in 0..vectors {
                let i = pixel * channel_vectors + at + v;
                let d = x[i] - centre[v];
                let g =
                    before_activation::<F, N>(grad[i], grad, i, d, scale[v], shift[v], epilogue);
                out[i] = scale[v] * (g - offset[v] - d * slope[v]);
            }
        }
    }
}

/// Launches the three phases.
pub(super) fn launch_backward(
    problem: &BatchNormProblem,
    norm: &BatchNorm,
    saved: &Saved,
    grad: &Tensor,
) -> BatchNormGrads {
    let client = grad.client();
    let (dtype, channels) = (problem.dtype, problem.channels);
    let width = launch::width(client, dtype, channels);
    let strip = Strip::new(channels / width);
    let epilogue = Epilogue {
        relu: saved.relu,
        residual: saved.output.is_some(),
    };
    let grad_residual = saved
        .output
        .as_ref()
        .map(|output| Tensor::empty(client, output.shape(), dtype));
    let partials = Tensor::empty(client, &[problem.partials(), 2, channels], dtype);
    let grid = launch::grid(client, problem.partials());
    // SAFETY: `BatchNormProblem` relates the extents; without a residual the kernel touches neither `y` nor its gradient.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            saved.input.arg(width),
            saved.output.as_ref().unwrap_or(grad).arg(width),
            grad.arg(width),
            saved.statistics.mean.arg(width),
            saved.statistics.inv_std.arg(width),
            norm.gamma.arg(width),
            norm.beta.arg(width),
            grad_residual.as_ref().unwrap_or(&partials).arg(width),
            partials.arg(width),
            problem.pixels,
            channels / width,
            problem.per_partial(),
            problem.partials(),
            grid.run,
            strip,
            epilogue,
            dtype.elem(),
        );
    }
    launch::pace(client);
    let sums = Tensor::empty(client, &[2, channels], dtype);
    sum_rows(&partials, &sums);
    let input = Tensor::empty(client, grad.shape(), dtype);
    // With a residual, the first phase already wrote the gradient before the activation.
    let (before, epilogue) = match &grad_residual {
        Some(before) => (
            before,
            Epilogue {
                relu: false,
                residual: false,
            },
        ),
        None => (grad, epilogue),
    };
    let grid = launch::grid(client, problem.pixels);
    // SAFETY: as above; `sums` holds two rows of `channels`.
    unsafe {
        grad_input::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            saved.input.arg(width),
            before.arg(width),
            saved.statistics.mean.arg(width),
            saved.statistics.inv_std.arg(width),
            norm.gamma.arg(width),
            norm.beta.arg(width),
            sums.arg(width),
            input.arg(width),
            problem.pixels,
            channels / width,
            grid.run,
            strip,
            epilogue,
            dtype.elem(),
        );
    }
    launch::pace(client);
    BatchNormGrads {
        input,
        residual: grad_residual,
        sums,
    }
}
