//! The tiled convolution of many output channels on a CPU, forward and transposed.
//!
//! Where a tile's vectors are not all there are, the weight's rows are longer than what a tile reads of them: its loads then meet few of
//! the first cache's sets, and a page every few of them. Here a unit copies a tile's columns of [`DEPTH`] rows of the weight side by
//! side, and passes over all pixels of its block before it takes the next rows: the copy stays in the first cache, the sums so far in
//! the second. Pixels are counted through the rows of a block, so that a tile need not end with a row. Small images share a block,
//! and so the panels.
//!
//! **Measured** (2 cores of Zen 5, f32, 3x3, 256 to 256 channels of 17 x 14 x 14, of the peak of multiply-adds): 0.73 before, 0.88 to 0.93 with
//! panels and tiles of 8 x 2, 0.92 with 12 x 2. ResNet-18, 32 images of 64 px, whose last maps are 4 x 4 and 2 x 2: 625 images a second in
//! inference with a block for each image, 963 with shared ones.
//!
//! **Tried and lost**, of the same peak: tiles of 14 x 2, of which 196 pixels are a multiple, 0.70; panels of 192 rows, 0.91, and they leave a first
//! cache of 32 KB no room.

use super::ConvProblem;
use super::forward::{CLASS, class};
use super::stage::stage;
use crate::affine::{Epilogue, EpilogueArgs, Operands, apply};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::prologue::{Entrance, Prologue, Source};
use crate::taps::{Axis, AxisLaunch};
use crate::tune::Knob;
use crate::{DType, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Pixels of a tile of so many vectors.
const TILE: Knob<8, 1> = Knob {
    op: "conv wide",
    class: CLASS,
    sizes: [("pixels", &[4, 6, 8, 10, 12, 14])],
};
/// Rows of the weight that are copied at a time: 16 KB for two vectors of 16.
const DEPTH: usize = 128;
/// Pixels of a block, about.
const PIXELS: usize = 200;
/// Bytes of a block's patch, about: with the sums of two vectors it stays in the second-level cache.
const PATCH_BYTES: usize = 1 << 19;
/// Work items that each core is to have at least, as long as groups of channels can be told apart.
const ITEMS_OF_UNIT: usize = 4;

/// The vectors of a tile for `vectors` vectors of output channels, where these are more than one tile has: as many as leave the fewest over.
pub(super) fn tile_vectors(vectors: usize) -> Option<usize> {
    let best = [2, 3]
        .into_iter()
        .min_by_key(|&wide| vectors.next_multiple_of(wide));
    best.filter(|_| vectors > 2)
}

/// The pixels of a tile of `vectors` vectors, for blocks of `pixels` pixels: 24 sums fill the registers, unless the last tile would be
/// mostly empty.
fn tile_pixels(vectors: usize, pixels: usize) -> usize {
    let most = 24 / vectors;
    // A tile costs a pixel more than it has.
    [most, 8]
        .into_iter()
        .min_by_key(|&tile| pixels.div_ceil(tile) * (tile + 1))
        .unwrap_or(most)
}

/// One unit owns a run of (block of output rows, part of the channels' groups).
#[cube(launch_unchecked)]
fn wide<S: Float, F: Float, B: Size, N: Size>(
    x: &[S],
    weight: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    patches: &mut [F],
    panels: &mut [Vector<F, N>],
    sums: &mut [Vector<F, N>],
    places: &mut [u32],
    operands: Operands<S, F, B>,
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    y_view: View,
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    in_channels: usize,
    out_channels: usize,
    out_vectors: usize,
    block: usize,
    stack: usize,
    splits: usize,
    patch_width: usize,
    patch_len: usize,
    most_pixels: usize,
    run: usize,
    #[comptime] pixels: usize,
    #[comptime] vectors: usize,
    #[comptime] transposed: bool,
    #[comptime] prologue: Prologue,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let depth = comptime!(DEPTH);
    let residues_v = if transposed {
        vertical.stride
    } else {
        1usize.runtime()
    };
    let residues_h = if transposed {
        horizontal.stride
    } else {
        1usize.runtime()
    };
    let rows = (vertical.target + residues_v - 1) / residues_v;
    let blocks = (rows + block - 1) / block;
    let groups = (out_vectors + comptime!(vectors - 1)) / vectors;
    let per_split = (groups + splits - 1) / splits;
    let first = ABSOLUTE_POS * run;
    let stacks = (batch + stack - 1) / stack;
    let last = min(first + run, stacks * blocks * splits);
    let patch_start = ABSOLUTE_POS * patch_len * stack;
    let panel = ABSOLUTE_POS * comptime!(DEPTH * vectors);
    let sum = ABSOLUTE_POS * most_pixels * vectors;
    let starts = ABSOLUTE_POS * most_pixels * 2;
    let targets = starts + most_pixels;
    for item in first..last {
        let n0 = item / splits / blocks * stack;
        let images = min(n0 + stack, batch) - n0;
        let t0 = item / splits % blocks * block;
        let first_group = item % splits * per_split;
        let last_group = min(first_group + per_split, groups);
        for residue in 0..residues_v * residues_h {
            let pv = residue / residues_h;
            let ph = residue % residues_h;
            let v = vertical.taps(pv, transposed);
            let h = horizontal.taps(ph, transposed);
            let columns = (horizontal.target - ph + residues_h - 1) / residues_h;
            let t1 = min(
                t0 + block,
                (vertical.target - pv + residues_v - 1) / residues_v,
            );
            let lines = max(t1, t0) - t0;
            let count = images * lines * columns;
            if count > 0 {
                let line = patch_width * in_channels;
                for image in 0..images {
                    let start = image * patch_len;
                    stage::<S, F, B, N>(
                        x,
                        patches,
                        patch_start + start,
                        n0 + image,
                        t0 * v.in_step,
                        (lines - 1) * v.in_step + max(v.taps, 1),
                        patch_width,
                        in_channels,
                        &vertical,
                        &horizontal,
                        &v,
                        &h,
                        &entrance,
                        prologue,
                    );
                    for t in 0..lines {
                        let oh = (t0 + t) * v.out_step + pv;
                        let pixel = (image * lines + t) * columns;
                        for c in 0..columns {
                            let offset = t * v.in_step * line + c * h.in_step * in_channels;
                            let row = (n0 + image) * vertical.target + oh;
                            let target = row * horizontal.target + c * h.out_step + ph;
                            places[starts + pixel + c] = (start + offset) as u32;
                            places[targets + pixel + c] = target as u32;
                        }
                    }
                }
                let tiles = (count + comptime!(pixels - 1)) / pixels;
                // A tap row is cut into parts; without taps one empty part writes what is added.
                let width = h.taps * in_channels;
                let cuts = max((width + depth - 1) / depth, 1);
                let parts = max(v.taps, 1) * cuts;
                for group in first_group..last_group {
                    let mut channels = Array::<usize>::new(vectors);
                    #[unroll]
                    for o in 0..vectors {
                        channels[o] = channel::<N>(group * vectors + o, out_channels);
                    }
                    for part in 0..parts {
                        let j = part / cuts;
                        let q0 = part % cuts * depth;
                        let mut deep = min(q0 + depth, width) - q0;
                        if v.taps == 0 {
                            deep = 0;
                        }
                        let wb = ((v.start + j) * horizontal.kernel + h.start) * in_channels + q0;
                        for q in 0..deep {
                            #[unroll]
                            for o in 0..vectors {
                                panels[panel + q * vectors + o] = load::<S, F, B, N>(
                                    weight,
                                    (wb + q) * out_channels + channels[o],
                                );
                            }
                        }
                        let xb = patch_start + j * line + q0;
                        for tile in 0..tiles {
                            let mut acc = Array::<Vector<F, N>>::new(pixels * vectors);
                            let mut from = Array::<usize>::new(pixels);
                            let so_far = sum + tile * comptime!(pixels * vectors);
                            #[unroll]
                            for i in 0..pixels {
                                let pixel = min(tile * pixels + i, count - 1);
                                from[i] = xb + places[starts + pixel] as usize;
                            }
                            #[unroll]
                            for i in 0..pixels * vectors {
                                acc[i] = zero;
                            }
                            if part > 0 && comptime!(!planted::is("conv_of_the_last_part")) {
                                #[unroll]
                                for i in 0..pixels * vectors {
                                    acc[i] = sums[so_far + i];
                                }
                            }
                            for q in 0..deep {
                                let mut wv = Array::<Vector<F, N>>::new(vectors);
                                #[unroll]
                                for o in 0..vectors {
                                    wv[o] = panels[panel + q * vectors + o];
                                }
                                #[unroll]
                                for i in 0..pixels {
                                    let xv = Vector::<F, N>::cast_from(patches[from[i] + q]);
                                    #[unroll]
                                    for o in 0..vectors {
                                        acc[i * vectors + o] = fma(xv, wv[o], acc[i * vectors + o]);
                                    }
                                }
                            }
                            if part + 1 < parts {
                                #[unroll]
                                for i in 0..pixels * vectors {
                                    sums[so_far + i] = acc[i];
                                }
                            } else {
                                #[unroll]
                                for i in 0..pixels {
                                    let pixel = tile * pixels + i;
                                    if pixel < count {
                                        let target = places[targets + pixel] as usize;
                                        #[unroll]
                                        for o in 0..vectors {
                                            let c = channels[o];
                                            let value = apply::<S, F, B, N, N>(
                                                acc[i * vectors + o],
                                                &operands,
                                                target,
                                                c,
                                                N::value().comptime(),
                                                epilogue,
                                            );
                                            store::<S, F, B, N>(y, y_view.at(target) + c, value);
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
}

/// How a launch is cut; none of it changes the order of a sum.
struct Cut {
    /// Output rows of a block, of one residue.
    block: usize,
    /// Images whose rows one block takes.
    stack: usize,
    /// Parts of the channels' groups.
    splits: usize,
}

impl Cut {
    /// For `rows` rows of `columns` outputs an image, the first of which reads `patch[0]` elements and every other `patch[1]` more, in
    /// `groups` groups of channels.
    fn of(
        units: usize,
        batch: usize,
        [rows, columns]: [usize; 2],
        patch: [usize; 2],
        groups: usize,
        dtype: DType,
    ) -> Self {
        let room = PATCH_BYTES / dtype.accumulator().size();
        let by_room = room.saturating_sub(patch[0]) / patch[1].max(1) + 1;
        let most = (PIXELS / columns).min(by_room).clamp(1, rows);
        let blocks = rows.div_ceil(most);
        let block = rows.div_ceil(blocks);
        // A panel is copied for each block: small images share it.
        let images = PIXELS / 2 / (block * columns);
        let images_by_room = room / (patch[0] + (block - 1) * patch[1]).max(1);
        let stack = images.min(images_by_room).min(batch).max(1);
        let items = batch.div_ceil(stack) * blocks;
        let splits = (ITEMS_OF_UNIT * units).div_ceil(items.max(1)).min(groups);
        Self {
            block,
            stack,
            // No part is without a group.
            splits: groups.div_ceil(groups.div_ceil(splits)),
        }
    }
}

/// Launches the kernel; the arguments are those of [`super::forward::launch_tiled`].
pub(super) fn launch_wide(
    problem: &ConvProblem,
    source: &Source,
    weight: &Tensor,
    target: &Tensor,
    transposed: bool,
    epilogue_args: EpilogueArgs,
    vectors: usize,
    [vertical, horizontal]: [AxisLaunch; 2],
) -> Result<(), KernelError> {
    let map = source.map();
    let client = map.client();
    let [in_channels, out_channels] = [map, target].map(|map| map.shape()[3]);
    let [target_h, target_w] = [target.shape()[1], target.shape()[2]];
    let residual = epilogue_args.residual.unwrap_or(target);
    let lanes = Lanes::of(client, problem.dtype, out_channels, &[target, residual]);
    let [residues, steps] = match transposed {
        true => [problem.options.stride, [1, 1]],
        false => [[1, 1], problem.options.stride],
    };
    let (rows, columns) = (
        target_h.div_ceil(residues[0]),
        target_w.div_ceil(residues[1]),
    );
    let patch_width = (columns - 1) * steps[1] + problem.kernel[1];
    let groups = lanes.vectors().div_ceil(vectors);
    let units = launch::grid(client, 1).units;
    let line = patch_width * in_channels;
    let Cut {
        block,
        stack,
        splits,
    } = Cut::of(
        units,
        problem.batch,
        [rows, columns],
        [problem.kernel[0] * line, steps[0] * line],
        groups,
        problem.dtype,
    );
    let pixels = tile_pixels(vectors, stack * block * columns);
    let [pixels] = TILE.choose(
        problem.dtype,
        class(problem, transposed),
        [pixels],
        |[pixels]| pixels * vectors <= 28,
    );
    let patch_rows = (block - 1) * steps[0] + problem.kernel[0];
    let patch_len = (patch_rows * patch_width * in_channels).next_multiple_of(16);
    let most_pixels = (stack * block * columns).next_multiple_of(pixels);
    let items = problem.batch.div_ceil(stack) * rows.div_ceil(block);
    let grid = launch::grid(client, items * splits);
    let room = |shape: &[usize], dtype| Tensor::room("conv", "scratch", client, shape, dtype);
    let accumulator = problem.dtype.accumulator();
    let patches = room(&[grid.units, stack * patch_len], accumulator)?;
    let panels = room(&[grid.units, DEPTH * vectors * lanes.width], accumulator)?;
    let sums = room(
        &[grid.units, most_pixels, vectors * lanes.width],
        accumulator,
    )?;
    let places = room(&[grid.units, 2, most_pixels], DType::F32)?;
    // SAFETY: `ConvProblem` relates all extents; a patch holds every row and column that the residues of a block read, panels, sums and
    // places what a unit has of them.
    unsafe {
        wide::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            map.arg(1),
            lanes.arg(weight),
            lanes.arg(target),
            patches.arg(1),
            panels.arg(lanes.width),
            sums.arg(lanes.width),
            places.arg(1),
            epilogue_args.operands(lanes.item, weight, target, 2),
            source.entrance(lanes.item, weight),
            lanes.unaligned(map),
            target.view(),
            problem.batch,
            vertical,
            horizontal,
            in_channels,
            out_channels,
            lanes.vectors(),
            block,
            stack,
            splits,
            patch_width,
            patch_len,
            most_pixels,
            grid.run,
            pixels,
            vectors,
            transposed,
            source.prologue(),
            epilogue_args.epilogue(),
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
