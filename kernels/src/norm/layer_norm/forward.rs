use super::{Saved, images, team};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::norm::row::{fresh, keep};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// The sum over `pixels` pixels from element `start` on, of `x - centre` or of its square. A block is no more than a pixel, so that
/// short pixels do not wait for each other's sums.
#[cube]
fn sum<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    pixels: usize,
    channels: usize,
    vectors: usize,
    fresh: Vector<bool, N>,
    centre: Vector<F, N>,
    #[comptime] squared: bool,
) -> F {
    let mut all = Cascade::<F, N>::new();
    for pixel in 0..pixels {
        let offset = start + pixel * channels;
        let end = load::<S, F, B, N>(x, offset + channels - N::value()) - centre;
        let mut part = keep::<F, N>(fresh, if comptime!(squared) { end * end } else { end });
        for block in 0..max(blocks(vectors - 1), 1) {
            for v in block_start(block)..block_end(block, vectors - 1) {
                let d = load::<S, F, B, N>(x, offset + v * N::value()) - centre;
                if comptime!(squared) {
                    part = fma(d, d, part);
                } else {
                    part += d;
                }
            }
            all.add(part);
            part = Vector::new(F::new(0.0f32));
        }
    }
    all.total().vector_sum()
}

/// The biased variance of `count` numbers whose centred squares sum to `squares`.
#[cube]
pub(super) fn variance<F: Float>(squares: F, count: F) -> F {
    let mut variance = squares / count;
    if comptime!(crate::planted::is("layer_norm_with_unbiased_variance")) {
        variance = squares / max(count - F::new(1.0f32), F::new(1.0f32));
    }
    variance
}

/// `y = (x - mean) inv_std gamma + beta`, and the moments. One unit owns a run of samples.
#[cube(launch_unchecked)]
fn layer_norm_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    y: &mut [Vector<S, B>],
    mean_out: &mut [F],
    inv_std_out: &mut [F],
    _unaligned: &[S],
    epsilon: InputScalar,
    samples: usize,
    pixels: usize,
    channels: usize,
    vectors: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let fresh = fresh::<N>(channels, vectors);
    let count = F::cast_from(u32::cast_from(pixels * channels));
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, samples);
    for sample in first..last {
        let start = sample * pixels * channels;
        let mean =
            sum::<S, F, B, N>(x, start, pixels, channels, vectors, fresh, zero, false) / count;
        let centre = Vector::<F, N>::new(mean);
        let squares = sum::<S, F, B, N>(x, start, pixels, channels, vectors, fresh, centre, true);
        let inv_std = F::new(1.0f32) / (variance::<F>(squares, count) + epsilon.get::<F>()).sqrt();
        mean_out[sample] = mean;
        inv_std_out[sample] = inv_std;
        let scale = Vector::<F, N>::new(inv_std);
        for pixel in 0..pixels {
            let offset = start + pixel * channels;
            for v in 0..vectors {
                let c = channel::<N>(v, channels);
                let normal = (load::<S, F, B, N>(x, offset + c) - centre) * scale;
                let (g, b) = (load::<F, F, B, N>(gamma, c), load::<F, F, B, N>(beta, c));
                store::<S, F, B, N>(y, offset + c, fma(normal, g, b));
            }
        }
    }
}

/// Launches the norm of `saved.input` into `y` and its moments into `saved`.
pub(super) fn launch_layer_norm(
    saved: &Saved,
    beta: &Tensor,
    epsilon: f64,
    y: &Tensor,
) -> Result<(), KernelError> {
    let (client, problem, x) = (y.client(), &saved.problem, &saved.input);
    if !launch::is_cpu(client) {
        if problem.pixels > 1 {
            return images::launch_layer_norm(saved, beta, epsilon, y);
        }
        team::launch_layer_norm(saved, beta, epsilon, y);
        return Ok(());
    }
    let (dtype, channels) = (problem.dtype, problem.channels);
    let lanes = Lanes::of(client, dtype, channels, &[x, &saved.gamma, beta, y]);
    let grid = launch::grid(client, problem.samples);
    // SAFETY: `LayerNormProblem` relates the extents.
    unsafe {
        layer_norm_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(&saved.gamma),
            lanes.arg(beta),
            lanes.arg(y),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            lanes.unaligned(x),
            dtype.scalar(epsilon),
            problem.samples,
            problem.pixels,
            channels,
            lanes.vectors(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
