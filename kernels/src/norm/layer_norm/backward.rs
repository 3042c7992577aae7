use super::{Saved, images, rows, team};
use crate::cascade::{Cascade, block_end, block_start, blocks, ends_block};
use crate::lanes::{Lanes, channel, load, store};
use crate::norm::row::{fresh, keep};
use crate::pointwise::sum_rows_apart;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Two rows of channels, to which pixels are added one after the other: what a [`Cascade`] is, in a unit's own memory.
#[derive(CubeType, Clone, Copy)]
struct Rows {
    /// The pixels' rows, which are part of no level yet; the rows of each level follow.
    start: usize,
    channels: usize,
    vectors: usize,
    added: usize,
}

#[cube]
impl Rows {
    /// Of no pixel.
    fn new<F: Float, B: Size, N: Size>(
        sums: &mut [Vector<F, B>],
        start: usize,
        channels: usize,
        vectors: usize,
    ) -> Rows {
        for row in 0..comptime!(2 * LEVELS) {
            for v in 0..vectors {
                let first_element = start + row * channels + channel::<N>(v, channels);
                store::<F, F, B, N>(sums, first_element, Vector::new(F::new(0.0f32)));
            }
        }
        Rows {
            start,
            channels,
            vectors,
            added: 0usize.runtime(),
        }
    }

    /// Adds `value` to channels `c..` of row `row`; each channel once a pixel.
    fn add<F: Float, B: Size, N: Size>(
        &self,
        sums: &mut [Vector<F, B>],
        #[comptime] row: usize,
        c: usize,
        value: Vector<F, N>,
    ) {
        let first_element = self.start + row * self.channels + c;
        let so_far = load::<F, F, B, N>(&*sums, first_element);
        store::<F, F, B, N>(sums, first_element, so_far + value);
    }

    /// Ends a pixel.
    fn end<F: Float, B: Size, N: Size>(&mut self, sums: &mut [Vector<F, B>]) {
        self.added += 1;
        if ends_block(self.added) {
            self.carry::<F, B, N>(sums, 0usize);
            if ends_block(blocks(self.added)) {
                self.carry::<F, B, N>(sums, 1usize);
            }
        }
    }

    /// Adds a level to the next, and empties it. Channels that two vectors share are empty when the second one comes.
    fn carry<F: Float, B: Size, N: Size>(
        &self,
        sums: &mut [Vector<F, B>],
        #[comptime] level: usize,
    ) {
        let next = 2 * self.channels;
        let from = self.start + level * next;
        for row in 0..2usize {
            for v in 0..self.vectors {
                let first_element = from + row * self.channels + channel::<N>(v, self.channels);
                let (low, high) = (
                    load::<F, F, B, N>(&*sums, first_element),
                    load::<F, F, B, N>(&*sums, first_element + next),
                );
                store::<F, F, B, N>(sums, first_element + next, high + low);
                store::<F, F, B, N>(sums, first_element, Vector::new(F::new(0.0f32)));
            }
        }
    }

    /// Writes the sums to the two rows of `out` that start at element `to`.
    fn write<F: Float, B: Size, N: Size>(
        &self,
        sums: &mut [Vector<F, B>],
        out: &mut [Vector<F, B>],
        to: usize,
    ) {
        #[unroll]
        for level in 0..comptime!(LEVELS - 1) {
            self.carry::<F, B, N>(sums, level);
        }
        let from = self.start + comptime!(2 * (LEVELS - 1)) * self.channels;
        for row in 0..2usize {
            for v in 0..self.vectors {
                let first_element = row * self.channels + channel::<N>(v, self.channels);
                let sum = load::<F, F, B, N>(&*sums, from + first_element);
                store::<F, F, B, N>(out, to + first_element, sum);
            }
        }
    }
}

/// Levels of [`Rows`], that of pixels among them.
const LEVELS: usize = 3;

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
    sums: &mut [Vector<F, B>],
    _unaligned: &[S],
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
    let own = ABSOLUTE_POS * comptime!(2 * LEVELS) * channels;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        let mut rows = Rows::new::<F, B, N>(sums, own, channels, vectors);
        let from = partial * per_partial;
        for sample in from..min(from + per_partial, samples) {
            let start = sample * pixels * channels;
            let centre = Vector::<F, N>::new(means[sample]);
            let scale = Vector::<F, N>::new(inv_stds[sample]);
            let mut sum = Cascade::<F, N>::new();
            let mut product = Cascade::<F, N>::new();
            for pixel in 0..pixels {
                let first_element = start + pixel * channels;
                for block in 0..blocks(vectors) {
                    let mut part = zero;
                    let mut part_product = zero;
                    for v in block_start(block)..block_end(block, vectors) {
                        let c = channel::<N>(v, channels);
                        let counted = select_many(Vector::new(v + 1 == vectors), fresh, every);
                        let g = keep::<F, N>(counted, load::<S, F, B, N>(grad, first_element + c));
                        let n = (load::<S, F, B, N>(x, first_element + c) - centre) * scale;
                        let h = g * load::<F, F, B, N>(gamma, c);
                        part += h;
                        part_product = fma(h, n, part_product);
                        rows.add::<F, B, N>(sums, 0usize, c, g * n);
                        rows.add::<F, B, N>(sums, 1usize, c, g);
                    }
                    sum.add(part);
                    product.add(part_product);
                }
                rows.end::<F, B, N>(sums);
            }
            let offset = Vector::<F, N>::new(sum.total().vector_sum() / count);
            let tilt = Vector::<F, N>::new(product.total().vector_sum() / count);
            for pixel in 0..pixels {
                let first_element = start + pixel * channels;
                for v in 0..vectors {
                    let c = channel::<N>(v, channels);
                    let n = (load::<S, F, B, N>(x, first_element + c) - centre) * scale;
                    let h =
                        load::<S, F, B, N>(grad, first_element + c) * load::<F, F, B, N>(gamma, c);
                    store::<S, F, B, N>(out, first_element + c, scale * (h - offset - n * tilt));
                }
            }
        }
        rows.write::<F, B, N>(sums, partials, partial * 2 * channels);
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
    let [gamma, beta] = [(); 2].map(|()| Tensor::empty(client, &[channels], dtype.accumulator()));
    let on_gpu = !launch::is_cpu(client);
    if on_gpu && problem.pixels > 1 {
        images::launch_backward(saved, grad, out, [&gamma, &beta])?;
    } else if on_gpu && rows::holds(problem, client) {
        rows::launch_backward(saved, grad, out, [&gamma, &beta])?;
    } else {
        let partials = [problem.partials(), 2, channels];
        let op = saved.sample.op();
        let partials = Tensor::room(op, "scratch", client, &partials, dtype.accumulator())?;
        if on_gpu {
            team::launch_partials(saved, grad, out, &partials);
        } else {
            launch_partials(saved, grad, out, &partials)?;
        }
        sum_rows_apart(&partials, &gamma, &beta);
    }
    Ok([gamma, beta])
}

/// Launches the gradient of `x` into `out` and the partial sums `[partials, 2, c]`.
fn launch_partials(
    saved: &Saved,
    grad: &Tensor,
    out: &Tensor,
    partials: &Tensor,
) -> Result<(), KernelError> {
    let (client, problem, x) = (grad.client(), &saved.problem, &saved.input);
    let (dtype, channels) = (problem.dtype, problem.channels);
    let tensors = [x, grad, &saved.gamma, out, partials];
    let lanes = Lanes::of(client, dtype, channels, &tensors);
    let grid = launch::grid(client, problem.partials());
    let sums = [grid.units, 2 * LEVELS, channels];
    let op = saved.sample.op();
    let sums = Tensor::room(op, "scratch", client, &sums, dtype.accumulator())?;
    // SAFETY: `LayerNormProblem` relates the extents; `partials` has two rows a partial sum, `sums` all levels of them a unit.
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
            lanes.arg(&sums),
            lanes.unaligned(x),
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
    launch::throttle(client);
    Ok(())
}
