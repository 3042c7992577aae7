//! Partial sums of the gradient with respect to the weight of many output channels, on a CPU.
//!
//! Neighbouring pixels of a map of many channels lie whole pages apart: a walk over them misses the first cache and the page table at every
//! step. Here a unit copies the gradient of a block side by side, one group of channels after another, and for every tile the inputs
//! that it takes: what is multiplied then lies in a row, and in the first cache for all groups.
//!
//! A large weight is cut into few partial sums, as each is as large as the weight: cores then share a partial sum tile by tile, and each
//! of them copies the block for itself.
//!
//! **Measured** (2 cores of Zen 5, f32, 3x3, 256 to 256 channels of 17 x 14 x 14, of the peak of multiply-adds): 0.39 before, 0.95 so. Before, 32
//! partial sums of 2.4 MB each were written and read again; now there are 2.

use super::ConvProblem;
use super::stage::stage;
use crate::lanes::{Lanes, channel, copy, load};
use crate::matmul::gemm::{accumulators, launch_add_partials};
use crate::matmul::panels::{PANEL, add_products};
use crate::prologue::{Entrance, Prologue, Source};
use crate::taps::{Axis, AxisLaunch};
use crate::{DType, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Pixels that a block has at least where images are small, and twice as many at most where they are not: each tile adds to its partial sum
/// once a block.
const PIXELS: usize = 96;
/// Elements of a block's patches at most, unless one row has more.
const PATCH_ELEMENTS: usize = 1 << 17;
/// Partial sums at most, and the elements that all of them hold, unless one alone holds more: 8 MB of f32.
const MOST_PARTIALS: usize = 32;
const MOST_ELEMENTS: usize = 1 << 21;
/// Pixels of a partial sum at most, so that f32 does not lose the last of them: 64 parts.
const MOST_PIXELS: usize = 64 * PANEL;

/// One unit owns a run of (partial sum, part of the weight's tiles).
#[cube(launch_unchecked)]
fn wide_partial_sums<S: Float, F: Float, B: Size, N: Size>(
    x: &[S],
    grad: &[Vector<S, B>],
    partials: &mut [Vector<F, N>],
    patches: &mut [F],
    grads: &mut [Vector<F, N>],
    inputs: &mut [F],
    places: &mut [u32],
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    in_channels: usize,
    out_channels: usize,
    out_vectors: usize,
    block: usize,
    stack: usize,
    patch_width: usize,
    patch_len: usize,
    most_pixels: usize,
    partial_count: usize,
    splits: usize,
    run: usize,
    #[comptime] taps: usize,
    #[comptime] vectors: usize,
    #[comptime] prologue: Prologue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let most = comptime!(PANEL);
    let blocks = (vertical.target + block - 1) / block;
    let items = (batch + stack - 1) / stack * blocks;
    let per_partial = (items + partial_count - 1) / partial_count;
    let v = vertical.taps(0usize.runtime(), false);
    let h = horizontal.taps(0usize.runtime(), false);
    let line = horizontal.kernel * in_channels;
    let groups = (out_vectors + comptime!(vectors - 1)) / vectors;
    let pitch = groups * vectors;
    let tiles_of_line = (line + comptime!(taps - 1)) / taps;
    let tiles = vertical.kernel * tiles_of_line;
    let per_split = (tiles + splits - 1) / splits;
    let input_pitch = (comptime!(taps) + N::value() - 1) / N::value() * N::value();
    let patch_start = ABSOLUTE_POS * patch_len * stack;
    let grads_start = ABSOLUTE_POS * groups * most_pixels * vectors;
    let inputs_start = ABSOLUTE_POS * most * input_pitch;
    let places_start = ABSOLUTE_POS * most_pixels;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count * splits);
    for index in first..last {
        let partial = index / splits;
        let first_tile = min(index % splits * per_split, tiles);
        let last_tile = min(first_tile + per_split, tiles);
        let out = partial * vertical.kernel * line * pitch;
        let from = min(partial * per_partial, items);
        let to = min(from + per_partial, items);
        // A partial sum without a block is still written.
        for tile in first_tile..last_tile {
            let (kh, q0) = (tile / tiles_of_line, tile % tiles_of_line * taps);
            let begin = out + (kh * line + q0) * pitch;
            for i in 0..(min(q0 + taps, line) - q0) * pitch {
                partials[begin + i] = zero;
            }
        }
        for item in from..to {
            let n0 = item / blocks * stack;
            let images = min(n0 + stack, batch) - n0;
            let t0 = item % blocks * block;
            let rows = min(t0 + block, vertical.target) - t0;
            let mut pixels = images * rows * horizontal.target;
            for image in 0..images {
                stage::<S, F, B, N>(
                    x,
                    patches,
                    patch_start + image * patch_len,
                    n0 + image,
                    t0 * vertical.stride,
                    (rows - 1) * vertical.stride + vertical.kernel,
                    patch_width,
                    in_channels,
                    &vertical,
                    &horizontal,
                    &v,
                    &h,
                    &entrance,
                    prologue,
                );
                for t in 0..rows {
                    let pixel = (image * rows + t) * horizontal.target;
                    let row = ((n0 + image) * vertical.target + t0 + t) * horizontal.target;
                    let start = image * patch_len + t * vertical.stride * patch_width * in_channels;
                    for ow in 0..horizontal.target {
                        let place = start + ow * horizontal.stride * in_channels;
                        places[places_start + pixel + ow] = place as u32;
                        for group in 0..groups {
                            #[unroll]
                            for o in 0..vectors {
                                let c = channel::<N>(group * vectors + o, out_channels);
                                let place = (group * most_pixels + pixel + ow) * vectors + o;
                                grads[grads_start + place] =
                                    load::<S, F, B, N>(grad, (row + ow) * out_channels + c);
                            }
                        }
                    }
                }
            }
            if comptime!(planted::is("weight_gradient_of_one_image_a_block")) {
                pixels = rows * horizontal.target;
            }
            for tile in first_tile..last_tile {
                let (kh, q0) = (tile / tiles_of_line, tile % tiles_of_line * taps);
                let source = patch_start + kh * patch_width * in_channels + q0;
                for part in 0..(pixels + most - 1) / most {
                    let begin = part * most;
                    let count = min(pixels - begin, most);
                    for i in 0..count {
                        copy::<F, F, B, N>(
                            &*patches,
                            source + places[places_start + begin + i] as usize,
                            inputs,
                            inputs_start + i * input_pitch,
                            input_pitch,
                        );
                    }
                    for group in 0..groups {
                        let g = grads_start + (group * most_pixels + begin) * vectors;
                        add_products::<F, N>(
                            &*inputs,
                            inputs_start,
                            input_pitch,
                            &*grads,
                            g,
                            count,
                            partials,
                            out + (kh * line + q0) * pitch + group * vectors,
                            pitch,
                            min(taps, line - q0),
                            taps,
                            vectors,
                        );
                    }
                }
            }
        }
    }
}

/// How the pixels are cut: the order of the sums follows from it, and it from the problem alone.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    /// Output rows of a block.
    block: usize,
    /// Images whose rows one block takes.
    stack: usize,
    partials: usize,
}

impl Cut {
    fn of(problem: &ConvProblem) -> Self {
        let [oh, ow] = problem.output();
        let [kh, kw, ci, co] = problem.weight_shape();
        let [sh, sw] = problem.options.stride;
        let line = ((ow - 1) * sw + kw) * ci;
        let by_room = (PATCH_ELEMENTS / line).saturating_sub(kh) / sh + 1;
        let most = (2 * PIXELS / ow).min(by_room).clamp(1, oh);
        let blocks = oh.div_ceil(most);
        let block = oh.div_ceil(blocks);
        let patch = ((block - 1) * sh + kh) * line;
        let stack = match blocks {
            1 => (PIXELS / (oh * ow)).min(PATCH_ELEMENTS / patch).max(1),
            _ => 1,
        };
        let stack = stack.min(problem.batch).max(1);
        let by_size = (MOST_ELEMENTS / (kh * kw * ci * co)).max(1);
        let most = MOST_PARTIALS.min(1 << by_size.ilog2());
        let fewest = (problem.batch * oh * ow).div_ceil(MOST_PIXELS);
        let items = problem.batch.div_ceil(stack) * blocks;
        Self {
            block,
            stack,
            partials: items.clamp(1, most.max(fewest.next_power_of_two())),
        }
    }
}

/// Whether a weight of `vectors` vectors of output channels is for this kernel.
pub(super) fn is_wide(vectors: usize) -> bool {
    vectors > 3
}

/// Launches the partial sums and their sum in a fixed order.
pub(super) fn launch_wide_grad_weight(
    problem: &ConvProblem,
    lanes: &Lanes,
    source: &Source,
    grad: &Tensor,
    out: &Tensor,
    [vertical, horizontal]: [AxisLaunch; 2],
) -> Result<(), KernelError> {
    let x = source.map();
    let client = x.client();
    let [_, ow] = problem.output();
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let [taps, vectors] = accumulators(problem.kernel[1] * ci, lanes.vectors());
    let cut = Cut::of(problem);
    let patch_width = (ow - 1) * problem.options.stride[1] + problem.kernel[1];
    let patch_rows = (cut.block - 1) * problem.options.stride[0] + problem.kernel[0];
    let input_pitch = taps.next_multiple_of(lanes.width);
    // The last tile of a kernel row may read up to a tile's width past the patch.
    let patch_len = (patch_rows * patch_width * ci + input_pitch).next_multiple_of(16);
    let most_pixels = cut.stack * cut.block * ow;
    let pitch = lanes.vectors().next_multiple_of(vectors);
    let rows = out.len() / co;
    let tiles = problem.kernel[0] * (problem.kernel[1] * ci).div_ceil(taps);
    let cores = launch::grid(client, 1).units;
    // A core for each part, as far as there are tiles.
    let splits = cores.div_ceil(cut.partials).min(tiles);
    let grid = launch::grid(client, cut.partials * splits);
    let room =
        |shape: &[usize], dtype| Tensor::room("conv grad_weight", "scratch", client, shape, dtype);
    let accumulator = problem.dtype.accumulator();
    let patches = room(&[grid.units, cut.stack * patch_len], accumulator)?;
    let grads = room(&[grid.units, most_pixels, pitch * lanes.width], accumulator)?;
    let inputs = room(&[grid.units, PANEL, input_pitch], accumulator)?;
    let places = room(&[grid.units, most_pixels], DType::F32)?;
    let partials = room(&[cut.partials, rows, pitch * lanes.width], accumulator)?;
    // SAFETY: `ConvProblem` relates all extents; scratch and partial sums are as large as the units and the weight need.
    unsafe {
        wide_partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            x.arg(1),
            lanes.arg(grad),
            partials.arg(lanes.width),
            patches.arg(1),
            grads.arg(lanes.width),
            inputs.arg(1),
            places.arg(1),
            source.entrance(lanes.item, grad),
            lanes.unaligned(x),
            problem.batch,
            vertical,
            horizontal,
            ci,
            co,
            lanes.vectors(),
            cut.block,
            cut.stack,
            patch_width,
            patch_len,
            most_pixels,
            cut.partials,
            splits,
            grid.run,
            taps,
            vectors,
            source.prologue(),
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    launch_add_partials(&partials, out, rows, lanes, pitch);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ConvOptions;
    use super::*;

    fn cut([batch, side, ci, co]: [usize; 4]) -> [usize; 3] {
        let Cut {
            block,
            stack,
            partials,
        } = Cut::of(&ConvProblem {
            batch,
            input: [side; 2],
            kernel: [3; 2],
            in_channels: ci,
            out_channels: co,
            options: ConvOptions::square(1, 1),
            dtype: DType::F32,
        });
        [block, stack, partials]
    }

    #[test]
    fn blocks_hold_a_few_hundred_pixels_and_a_large_weight_is_held_once() {
        assert_eq!(cut([32, 56, 64, 64]), [3, 1, 32]);
        assert_eq!(cut([32, 14, 256, 256]), [7, 1, 2]);
        assert_eq!(cut([32, 7, 512, 512]), [7, 1, 1]);
        assert_eq!(cut([32, 4, 64, 64]), [4, 6, 6]);
        // As many partial sums as keep f32's digits.
        assert_eq!(cut([64, 56, 512, 512])[2], 32);
    }
}
