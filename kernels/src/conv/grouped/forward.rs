use super::patch::{Group, GroupLaunch, Place, Spread, item, pixel_len, stage};
use super::{Blueprint, GroupedProblem};
use crate::conv::dense::stage::{Axis, AxisLaunch};
use crate::conv::dense::{Affine, ConvOptions};
use crate::lanes::{View, channel, load, store};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// Output rows staged at a time.
const BLOCK: usize = 8;
/// The widest kernel whose taps of a row stay in registers beside a tile.
const WIDEST_WALK: usize = 5;

/// What is done to a tile before it is stored, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Epilogue {
    affine: bool,
    residual: bool,
    relu: bool,
}

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    /// Neighbouring outputs of one row held in registers.
    pixels: usize,
    /// `[kernel width, horizontal stride]` where each column of the patch is loaded once for all the taps that read it.
    walk: Option<[usize; 2]>,
    spread: Spread,
    transposed: bool,
    epilogue: Epilogue,
}

/// The tiled convolution, forward or transposed. One unit owns a run of (image, block of `block` output rows, chunks); a tile is
/// `pixels` neighbouring outputs of one row by one vector of output channels, held in registers.
#[cube(launch_unchecked)]
fn tiled<F: Float, I: Size, B: Size, N: Size, M: Size>(
    x: &[Vector<F, I>],
    weight: &[Vector<F, B>],
    y: &mut [Vector<F, B>],
    patches: &mut [Vector<F, I>],
    centre: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    shift: &[Vector<F, B>],
    residual: &[Vector<F, B>],
    _anywhere: &[F],
    x_view: View,
    y_view: View,
    residual_view: View,
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    group: Group,
    channels: usize,
    chunks: usize,
    chunks_per_item: usize,
    vectors: usize,
    block: usize,
    patch_width: usize,
    patch_len: usize,
    run: usize,
    #[comptime] variant: Variant,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let pixels = variant.pixels.comptime();
    let spread = variant.spread.comptime();
    let epilogue = variant.epilogue.comptime();
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let phases_v = if comptime!(variant.transposed) {
        vertical.stride
    } else {
        1usize.runtime()
    };
    let phases_h = if comptime!(variant.transposed) {
        horizontal.stride
    } else {
        1usize.runtime()
    };
    let rows = (vertical.target + phases_v - 1) / phases_v;
    let blocks = (rows + block - 1) / block;
    let splits = chunks / chunks_per_item;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch * blocks * splits);
    let patch_start = ABSOLUTE_POS * patch_len;
    let pixel = pixel_len::<N>(&group, spread);
    for index in first..last {
        let from = index % splits * chunks_per_item;
        let n = index / splits / blocks;
        let t0 = index / splits % blocks * block;
        let t1 = min(t0 + block, rows);
        for job in 0..chunks_per_item * phases_v * phases_h {
            let pv = job / phases_h % phases_v;
            let ph = job % phases_h;
            let chunk = from + job / phases_h / phases_v;
            let start = if comptime!(spread.is_vector()) {
                channel::<N>(chunk, channels)
            } else {
                chunk * group.target
            };
            let v = vertical.taps(pv, comptime!(variant.transposed));
            let h = horizontal.taps(ph, comptime!(variant.transposed));
            let columns = (horizontal.target - ph + phases_h - 1) / phases_h;
            let tiles = (columns + comptime!(pixels - 1)) / pixels;
            let place = Place {
                n,
                first: t0 * v.in_step,
                channel: start,
            };
            stage::<F, I, N, M>(
                x,
                patches,
                patch_start,
                &place,
                (t1 - t0 - 1) * v.in_step + max(v.taps, 1),
                patch_width,
                &x_view,
                &group,
                &vertical,
                &horizontal,
                &v,
                &h,
                spread,
            );
            let step = h.in_step * pixel;
            for vector in 0..vectors {
                let c = if comptime!(spread.is_vector()) {
                    start
                } else {
                    start + channel::<N>(vector, group.target)
                };
                for tile in 0..tiles {
                    for t in t0..t1 {
                        let oh = t * v.out_step + pv;
                        if oh < vertical.target {
                            let mut acc = Array::<Vector<F, N>>::new(pixels);
                            #[unroll]
                            for p in 0..pixels {
                                acc[p] = zero;
                            }
                            for j in 0..v.taps {
                                let xb = patch_start
                                    + ((t - t0) * v.in_step + j) * patch_width * pixel
                                    + tile * pixels * step;
                                let tap = (v.start + j) * horizontal.kernel + h.start;
                                let wb = tap * group.source * channels + c;
                                multiply::<F, I, B, N>(
                                    &*patches, weight, &mut acc, xb, wb, &group, h.taps, step,
                                    channels, variant,
                                );
                            }
                            let line = (n * vertical.target + oh) * horizontal.target;
                            #[unroll]
                            for p in 0..pixels {
                                let ow = (tile * pixels + p) * h.out_step + ph;
                                if ow < horizontal.target {
                                    let mut value = acc[p];
                                    if comptime!(epilogue.affine) {
                                        let centred = value - load::<F, B, N>(centre, c);
                                        let by = load::<F, B, N>(scale, c);
                                        value = fma(centred, by, load::<F, B, N>(shift, c));
                                    }
                                    if comptime!(epilogue.residual) {
                                        let at = residual_view.at(line + ow) + c;
                                        value += load::<F, B, N>(residual, at);
                                    }
                                    if comptime!(epilogue.relu) {
                                        value = max(value, zero);
                                    }
                                    store::<F, B, N>(y, y_view.at(line + ow) + c, value);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds one kernel row's products to the tile.
#[cube]
fn multiply<F: Float, I: Size, B: Size, N: Size>(
    patches: &[Vector<F, I>],
    weight: &[Vector<F, B>],
    acc: &mut Array<Vector<F, N>>,
    xb: usize,
    wb: usize,
    group: &Group,
    taps: usize,
    step: usize,
    channels: usize,
    #[comptime] variant: Variant,
) {
    let spread = variant.spread.comptime();
    let pixels = variant.pixels.comptime();
    let pixel = pixel_len::<N>(group, spread);
    let unit = if comptime!(spread.is_vector()) {
        N::value()
    } else {
        1usize
    };
    if comptime!(variant.walk.is_some()) {
        let [width, stride] = comptime!(variant.walk.unwrap_or([1, 1]));
        for i in 0..group.source {
            let mut w = Array::<Vector<F, N>>::new(width);
            #[unroll]
            for k in 0..width {
                w[k] = load::<F, B, N>(weight, wb + (k * group.source + i) * channels);
            }
            #[unroll]
            for column in 0..comptime!((pixels - 1) * stride + width) {
                let value = item::<F, I, N>(patches, xb + column * pixel + i * unit, spread);
                #[unroll]
                for k in 0..width {
                    if comptime!(
                        column >= k && (column - k) % stride == 0 && (column - k) / stride < pixels
                    ) {
                        let p = comptime!((column - k) / stride);
                        acc[p] = fma(value, w[k], acc[p]);
                    }
                }
            }
        }
    } else {
        for q in 0..taps * group.source {
            let w = load::<F, B, N>(weight, wb + q * channels);
            #[unroll]
            for p in 0..pixels {
                let value = item::<F, I, N>(patches, xb + p * step + q * unit, spread);
                acc[p] = fma(value, w, acc[p]);
            }
        }
    }
}

/// The pixels of a tile for rows of `columns`: the fewest computed in vain, then the longest tile.
fn tile(columns: usize) -> usize {
    [16, 14, 12]
        .into_iter()
        .min_by_key(|&pixels| columns.next_multiple_of(pixels))
        .unwrap_or(16)
}

/// Launches the tiled kernel: `source` convolved into `target` with `weight` in the order the phases read it.
pub(super) fn launch_tiled(
    problem: &GroupedProblem,
    blueprint: &Blueprint,
    source: &Tensor,
    weight: &Tensor,
    target: &Tensor,
    transposed: bool,
    affine: Option<&Affine>,
) {
    let client = source.client();
    let lanes = blueprint.lanes;
    let [_, source_h, source_w, _] = *source.shape() else {
        unreachable!("checked")
    };
    let [_, target_h, target_w, channels] = *target.shape() else {
        unreachable!("checked")
    };
    let ConvOptions { stride, padding } = problem.options;
    let axis = |axis: usize, source: usize, target: usize| {
        let padding = padding[axis];
        let padding = planted::or("grouped_padding", padding, padding + 1);
        AxisLaunch::new(source, target, problem.kernel[axis], stride[axis], padding)
    };
    let (phases, steps) = if transposed {
        (stride, [1, 1])
    } else {
        ([1, 1], stride)
    };
    let rows = target_h.div_ceil(phases[0]);
    let columns = target_w.div_ceil(phases[1]);
    let pixels = tile(columns);
    let one_phase = !transposed || stride[1] == 1;
    let walk = (one_phase && problem.kernel[1] <= WIDEST_WALK && steps[1] <= 2)
        .then_some([problem.kernel[1], steps[1]]);
    let patch_width = (columns.next_multiple_of(pixels) - 1) * steps[1] + problem.kernel[1];
    let block = BLOCK.min(rows);
    let patch_rows = (block - 1) * steps[0] + problem.kernel[0];
    let patch_len = blueprint.patch_len(patch_rows * patch_width);
    let chunks = blueprint.chunks();
    // Chunks that overlap write the shared channels one after another, so they stay with one unit.
    let chunks_per_item = if blueprint.overlaps() { chunks } else { 1 };
    let splits = chunks / chunks_per_item;
    let grid = launch::grid(client, problem.batch * rows.div_ceil(block) * splits);
    let residual = affine.and_then(|affine| affine.residual);
    let epilogue = Epilogue {
        affine: affine.is_some(),
        residual: residual.is_some(),
        relu: affine.is_some_and(|affine| affine.relu),
    };
    // What the epilogue does not use is never read: any buffer stands in for it.
    let part = |of: fn(&Affine) -> Tensor| lanes.arg(&affine.map_or(weight.clone(), of));
    let beside = residual.unwrap_or(weight);
    let patches = Tensor::empty(client, &[grid.units * patch_len], problem.dtype);
    // SAFETY: `GroupedProblem` relates all extents; a patch holds every row and column that the phases of a block read.
    unsafe {
        tiled::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            1,
            lanes.item,
            lanes.width,
            blueprint.copied,
            source.buffer(1, 0),
            lanes.arg(weight),
            lanes.arg(target),
            patches.arg(1),
            part(|affine| affine.centre.clone()),
            part(|affine| affine.scale.clone()),
            part(|affine| affine.shift.clone()),
            lanes.arg(beside),
            lanes.anywhere(source),
            source.view(),
            target.view(),
            beside.view(),
            problem.batch,
            axis(0, source_h, target_h),
            axis(1, source_w, target_w),
            GroupLaunch::new(blueprint.group[0], blueprint.group[1]),
            channels,
            chunks,
            chunks_per_item,
            blueprint.vectors(),
            block,
            patch_width,
            patch_len,
            grid.run,
            Variant {
                pixels,
                walk,
                spread: blueprint.spread,
                transposed,
                epilogue,
            },
            problem.dtype.elem(),
        );
    }
    launch::pace(client);
}
