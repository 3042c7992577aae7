use super::{Saved, team};
use crate::lanes::{Lanes, channel, load, store};
use crate::norm::row::{fresh, keep};
use crate::pointwise::sum_rows_apart;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// `out = inv_std (h - mean of h - n mean of h n)` with `h = grad gamma` and `n` the normalised `x`; each partial sum takes `grad n` and
/// `grad` of a run of samples. One unit owns a run of partial sums.
#[cube(launch_unchecked)]
fn layer_norm_grad<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    means: &[F],
    inv_stds: &[F],
    out: &mut [Vector<S, B>],
    partials: &mut [Vector<F, B>],
    _anywhere: &[S],
    samples: usize,
    pixels: usize,
    channels: usize,
    vectors: usize,
    per_partial: usize,
    partial_count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let fresh = fresh::<N>(channels, vectors);
    let every = Vector::<bool, N>::new(true);
    let count = F::cast_from(u32::cast_from(pixels * channels));
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        let for_gamma = partial * 2 * channels;
        let for_beta = for_gamma + channels;
        for v in 0..vectors {
            let c = channel::<N>(v, channels);
            store::<F, F, B, N>(partials, for_gamma + c, zero);
            store::<F, F, B, N>(partials, for_beta + c, zero);
        }
        let from = partial * per_partial;
        for sample in from..min(from + per_partial, samples) {
            let start = sample * pixels * channels;
            let centre = Vector::<F, N>::new(means[sample]);
            let scale = Vector::<F, N>::new(inv_stds[sample]);
            let mut sum = zero;
            let mut product = zero;
            for pixel in 0..pixels {
                let at = start + pixel * channels;
                let mut part = zero;
                let mut part_product = zero;
                for v in 0..vectors {
                    let c = channel::<N>(v, channels);
                    let counted = select_many(Vector::new(v + 1 == vectors), fresh, every);
                    let g = keep::<F, N>(counted, load::<S, F, B, N>(grad, at + c));
                    let n = (load::<S, F, B, N>(x, at + c) - centre) * scale;
                    let h = g * load::<F, F, B, N>(gamma, c);
                    part += h;
                    part_product = fma(h, n, part_product);
                    let so_far = load::<F, F, B, N>(&*partials, for_gamma + c);
                    store::<F, F, B, N>(partials, for_gamma + c, fma(g, n, so_far));
                    let so_far = load::<F, F, B, N>(&*partials, for_beta + c);
                    store::<F, F, B, N>(partials, for_beta + c, so_far + g);
                }
                sum += part;
                product += part_product;
            }
            let offset = Vector::<F, N>::new(sum.vector_sum() / count);
            let tilt = Vector::<F, N>::new(product.vector_sum() / count);
            for pixel in 0..pixels {
                let at = start + pixel * channels;
                for v in 0..vectors {
                    let c = channel::<N>(v, channels);
                    let n = (load::<S, F, B, N>(x, at + c) - centre) * scale;
                    let h = load::<S, F, B, N>(grad, at + c) * load::<F, F, B, N>(gamma, c);
                    store::<S, F, B, N>(out, at + c, scale * (h - offset - n * tilt));
                }
            }
        }
    }
}

/// Launches the gradient of `x` into `out`, and returns those of `gamma` and of `beta`, `[c]` each.
pub(super) fn launch_backward(
    saved: &Saved,
    grad: &Tensor,
    out: &Tensor,
) -> Result<[Tensor; 2], KernelError> {
    let (client, problem) = (grad.client(), &saved.problem);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let partials = [problem.partials(), 2, channels];
    let op = saved.sample.op();
    let partials = Tensor::room(op, "scratch", client, &partials, dtype.accumulator())?;
    if launch::is_cpu(client) {
        launch_partials(saved, grad, out, &partials);
    } else {
        team::launch_partials(saved, grad, out, &partials);
    }
    let [gamma, beta] = [(); 2].map(|()| Tensor::empty(client, &[channels], dtype.accumulator()));
    sum_rows_apart(&partials, &gamma, &beta);
    Ok([gamma, beta])
}

/// Launches the gradient of `x` into `out` and the partial sums `[partials, 2, c]`.
fn launch_partials(saved: &Saved, grad: &Tensor, out: &Tensor, partials: &Tensor) {
    let (client, problem, x) = (grad.client(), &saved.problem, &saved.input);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let tensors = [x, grad, &saved.gamma, out, partials];
    let lanes = Lanes::of(client, dtype, channels, &tensors);
    let grid = launch::grid(client, problem.partials());
    // SAFETY: `LayerNormProblem` relates the extents; `partials` has two rows a partial sum.
    unsafe {
        layer_norm_grad::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            lanes.arg(&saved.gamma),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            lanes.arg(out),
            lanes.arg(partials),
            lanes.anywhere(x),
            problem.samples,
            problem.pixels,
            channels,
            lanes.vectors(),
            problem.per_partial(),
            problem.partials(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::pace(client);
}
