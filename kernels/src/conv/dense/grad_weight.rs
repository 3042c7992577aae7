use super::ConvProblem;
use super::stage::stage;
use super::wide_grad_weight::{is_wide, launch_wide_grad_weight};
use crate::lanes::{Lanes, channel, load};
use crate::matmul::gemm::{accumulators, launch_add_partials};
use crate::matmul::implicit::launch_weight;
use crate::prologue::{Entrance, Prologue, Source};
use crate::taps::{Axis, AxisLaunch};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Output rows staged at a time: with 64 pixels of 16 channels, patch and gradient are 72 KB and stay in the second-level cache
/// while all the tiles of the weight pass over them.
const BLOCK: usize = 8;
/// Pixels whose products are summed in registers one by one, at most: fewer rows are staged of wider images, and a row that is wider
/// still is taken in parts.
const MOST_PIXELS: usize = 1024;
/// Partial sums, a function of the problem alone so that the bits do not depend on the machine; enough for 32 cores, and
/// few enough that their sum is noise beside the products.
const MOST_PARTIALS: usize = 32;
/// Elements that all partial sums together hold at most, unless two hold more: 128 MB of f32, so that weights up to 3x3x256x256 keep
/// their 32. 32 copies of the first fully connected layer of a VGG, as a convolution, would take 13 GB.
const MOST_ELEMENTS: usize = 1 << 25;

/// One unit owns a run of partial sums, a partial sum a run of row blocks. A tile of the weight's gradient is `taps` neighbouring
/// (column, input channel) pairs of one kernel row by `vectors` vectors of output channels, summed in registers over a block, and
/// added to the partial sum, so that no chain of additions holds more than [`MOST_PIXELS`]. Vectors that overlap in the weight lie side by side in a partial sum, as it is updated in place.
#[cube(launch_unchecked)]
fn partial_sums<S: Float, F: Float, B: Size, N: Size>(
    x: &[S],
    grad: &[Vector<S, B>],
    partials: &mut [Vector<F, N>],
    patches: &mut [F],
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    in_channels: usize,
    out_channels: usize,
    out_vectors: usize,
    block: usize,
    patch_width: usize,
    patch_len: usize,
    partial_count: usize,
    run: usize,
    #[comptime] taps: usize,
    #[comptime] vectors: usize,
    #[comptime] prologue: Prologue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let blocks = (vertical.target + block - 1) / block;
    let per_partial = (batch * blocks + partial_count - 1) / partial_count;
    let patch_start = ABSOLUTE_POS * patch_len;
    let v = vertical.taps(0usize.runtime(), false);
    let h = horizontal.taps(0usize.runtime(), false);
    let line = horizontal.kernel * in_channels;
    let groups = (out_vectors + comptime!(vectors - 1)) / vectors;
    let pitch = groups * vectors;
    let size = vertical.kernel * line * pitch;
    let pixel_step = horizontal.stride * in_channels;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        let out = partial * size;
        for i in 0..size {
            partials[out + i] = zero;
        }
        let from = min(partial * per_partial, batch * blocks);
        let to = min(from + per_partial, batch * blocks);
        for item in from..to {
            let n = item / blocks;
            let t0 = item % blocks * block;
            let t1 = min(t0 + block, vertical.target);
            stage::<S, F, B, N>(
                x,
                patches,
                patch_start,
                n,
                t0 * vertical.stride,
                (t1 - t0 - 1) * vertical.stride + vertical.kernel,
                patch_width,
                in_channels,
                &vertical,
                &horizontal,
                &v,
                &h,
                &entrance,
                prologue,
            );
            for kh in 0..vertical.kernel {
                for tile in 0..(line + comptime!(taps - 1)) / taps {
                    for group in 0..groups {
                        let mut channels = Array::<usize>::new(vectors);
                        #[unroll]
                        for o in 0..vectors {
                            channels[o] = channel::<N>(group * vectors + o, out_channels);
                        }
                        let offset = out + (kh * line + tile * taps) * pitch + group * vectors;
                        let columns = comptime!(MOST_PIXELS);
                        for part in 0..(horizontal.target + columns - 1) / columns {
                            let begin = part * columns;
                            let end = min(begin + columns, horizontal.target);
                            let mut acc = Array::<Vector<F, N>>::new(taps * vectors);
                            #[unroll]
                            for q in 0..comptime!(taps * vectors) {
                                acc[q] = zero;
                            }
                            for t in t0..t1 {
                                let xb = patch_start
                                    + ((t - t0) * vertical.stride + kh) * patch_width * in_channels
                                    + tile * taps;
                                let gb =
                                    (n * vertical.target + t) * horizontal.target * out_channels;
                                for ow in begin..end {
                                    let mut gv = Array::<Vector<F, N>>::new(vectors);
                                    #[unroll]
                                    for o in 0..vectors {
                                        gv[o] = load::<S, F, B, N>(
                                            grad,
                                            gb + ow * out_channels + channels[o],
                                        );
                                    }
                                    #[unroll]
                                    for q in 0..taps {
                                        let xv = Vector::<F, N>::cast_from(
                                            patches[xb + ow * pixel_step + q],
                                        );
                                        #[unroll]
                                        for o in 0..vectors {
                                            let i = comptime!(q * vectors + o);
                                            acc[i] = fma(xv, gv[o], acc[i]);
                                        }
                                    }
                                }
                            }
                            #[unroll]
                            for q in 0..taps {
                                if tile * taps + q < line {
                                    #[unroll]
                                    for o in 0..vectors {
                                        partials[offset + q * pitch + o] += acc[q * vectors + o];
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How many partial sums of a weight of `elements` the blocks of all images are cut into: where the size decides, a power of two, so that
/// cores share them evenly.
fn partial_count(blocks: usize, elements: usize) -> usize {
    let by_size = (MOST_ELEMENTS / elements.max(1)).max(2);
    let most = if by_size < MOST_PARTIALS {
        1 << by_size.ilog2()
    } else {
        MOST_PARTIALS
    };
    blocks.clamp(1, most)
}

/// Launches the partial sums and their sum in a fixed order.
pub(super) fn launch_grad_weight(
    problem: &ConvProblem,
    source: &Source,
    grad: &Tensor,
    out: &Tensor,
) -> Result<(), KernelError> {
    let x = source.map();
    let client = x.client();
    if !launch::is_cpu(client) {
        launch_weight(&problem.gathered(false), x, grad, out);
        return Ok(());
    }
    let [oh, ow] = problem.output();
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let lanes = Lanes::of(client, problem.dtype, co, &[grad]);
    let axis = |axis: usize, target: usize| {
        AxisLaunch::new(
            problem.input[axis],
            target,
            problem.kernel[axis],
            problem.options.stride[axis],
            problem.options.padding[axis],
        )
    };
    if is_wide(lanes.vectors()) {
        let axes = [axis(0, oh), axis(1, ow)];
        return launch_wide_grad_weight(problem, &lanes, source, grad, out, axes);
    }
    let [taps, vectors] = accumulators(problem.kernel[1] * ci, lanes.vectors());
    let block = (MOST_PIXELS / ow).clamp(1, BLOCK).min(oh);
    let patch_width = (ow - 1) * problem.options.stride[1] + problem.kernel[1];
    let patch_rows = (block - 1) * problem.options.stride[0] + problem.kernel[0];
    // The last tile of a kernel row may read up to a tile's width past the patch.
    let patch_len = (patch_rows * patch_width * ci + taps).next_multiple_of(16);
    let rows = out.len() / co;
    let pitch = lanes.vectors().next_multiple_of(vectors);
    let blocks = problem.batch * oh.div_ceil(block);
    let partial_count = partial_count(blocks, out.len());
    let grid = launch::grid(client, partial_count);
    let room = |shape: &[usize]| {
        let accumulator = problem.dtype.accumulator();
        Tensor::room("conv grad_weight", "scratch", client, shape, accumulator)
    };
    let patches = room(&[grid.units, patch_len])?;
    let partials = room(&[partial_count, rows, pitch * lanes.width])?;
    // SAFETY: `ConvProblem` relates all extents; patches and partial sums are as large as the units and the weight need.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            x.arg(1),
            lanes.arg(grad),
            partials.arg(lanes.width),
            patches.arg(1),
            source.entrance(lanes.item, grad),
            lanes.unaligned(x),
            problem.batch,
            axis(0, oh),
            axis(1, ow),
            ci,
            co,
            lanes.vectors(),
            block,
            patch_width,
            patch_len,
            partial_count,
            grid.run,
            taps,
            vectors,
            source.prologue(),
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    launch_add_partials(&partials, out, rows, &lanes, pitch);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_of_a_hundred_million_elements_is_held_twice_and_a_small_one_32_times() {
        // VGG's first fully connected layer as a convolution: [7, 7, 512, 4096], one block an image.
        let elements = 7 * 7 * 512 * 4096;
        assert_eq!(partial_count(128, elements), 2);
        assert_eq!(partial_count(1, elements), 1);
        assert_eq!(partial_count(128, 3 * 3 * 256 * 256), 32);
        assert_eq!(partial_count(128, 3 * 3 * 512 * 512), 8);
        assert_eq!(partial_count(7, 9), 7);
        // Beyond what one index reaches, the scratch is refused.
        assert_eq!(partial_count(128, usize::MAX), 2);
    }
}
