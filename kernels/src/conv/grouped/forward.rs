use super::GroupedProblem;
use super::blueprint::Blueprint;
use super::multiply::{Variant, multiply};
use super::patch::{Extent, GroupPacking, Patch, stage};
use crate::affine::{Epilogue, EpilogueArgs, Operands, apply};
use crate::conv::dense::ConvOptions;
use crate::lanes::{View, channel, load_part, store_part};
use crate::prologue::{Entrance, Source};
use crate::taps::{Axis, AxisLaunch};
use crate::tune::Knob;
use crate::{Clamp, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Output rows staged at a time, and of groups across vectors at a stride, whose patches are wide beside what is computed of them.
const BLOCK: usize = 8;
const BLOCK_AT_STRIDE: usize = 4;
/// Pixels of a tile, and output rows staged at a time.
const TILE: Knob<9, 2> = Knob {
    op: "grouped",
    class: [
        "transposed",
        "kernel_h",
        "kernel_w",
        "stride_h",
        "stride_w",
        "channels",
        "group",
        "height",
        "width",
    ],
    sizes: [
        ("pixels", &[4, 6, 7, 8, 9, 10, 12, 14, 16]),
        ("rows", &[4, 8, 16]),
    ],
};
/// The widest kernel whose taps of a row stay in registers beside a tile.
const WIDEST_WALK: usize = 5;
/// Elements of a patch, beside which a chunk's weight and output fit a second-level cache of a megabyte; a range of chunks this
/// wide still reads long runs of every pixel.
const PATCH: usize = 100_000;

/// The tiled convolution, forward or transposed. One unit owns a run of (image, block of output rows, range of chunks); a tile is
/// `pixels` neighbouring outputs of one row by one vector of output channels, held in registers.
#[cube(launch_unchecked)]
fn tiled<S: Float, F: Float, I: Size, B: Size, N: Size, M: Size, T: Size>(
    x: &[Vector<S, I>],
    weight: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    scratch: &mut [Vector<F, I>],
    packed: &mut [Vector<F, N>],
    operands: Operands<S, F, B>,
    entrance: Entrance<F, I>,
    _unaligned: &[S],
    x_view: View,
    y_view: View,
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    patch: Patch,
    inputs: usize,
    share: usize,
    channels: usize,
    chunks: usize,
    range: usize,
    vectors: usize,
    block: usize,
    run: usize,
    #[comptime] variant: Variant,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let (pixels, packing) = comptime!((variant.pixels, variant.packing));
    let (used, epilogue) = comptime!((variant.used, variant.epilogue));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let residues_v = if comptime!(variant.transposed) {
        vertical.stride
    } else {
        1usize.runtime()
    };
    let residues_h = if comptime!(variant.transposed) {
        horizontal.stride
    } else {
        1usize.runtime()
    };
    let rows = (vertical.target + residues_v - 1) / residues_v;
    let blocks = (rows + block - 1) / block;
    let ranges = (chunks + range - 1) / range;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch * blocks * ranges);
    let scratch_start = ABSOLUTE_POS * patch.len;
    let packed_start = ABSOLUTE_POS * vertical.kernel * horizontal.kernel * inputs;
    for index in first..last {
        let chunk0 = index % ranges * range;
        let chunk1 = min(chunk0 + range, chunks);
        let n = index / ranges / blocks;
        let t0 = index / ranges % blocks * block;
        let t1 = min(t0 + block, rows);
        for residue in 0..residues_v * residues_h {
            let pv = residue / residues_h;
            let ph = residue % residues_h;
            let v = vertical.taps(pv, comptime!(variant.transposed));
            let h = horizontal.taps(ph, comptime!(variant.transposed));
            let columns = (horizontal.target - ph + residues_h - 1) / residues_h;
            let tiles = (columns + comptime!(pixels - 1)) / pixels;
            let extent = Extent {
                n,
                first: t0 * v.in_step,
                rows: (t1 - t0 - 1) * v.in_step + max(v.taps, 1),
                chunk: chunk0,
                chunks: chunk1 - chunk0,
            };
            stage::<S, F, I, N, M>(
                x,
                scratch,
                scratch_start,
                &patch,
                &extent,
                &x_view,
                &vertical,
                &horizontal,
                &v,
                &h,
                &entrance,
                comptime!(variant.prologue),
                packing,
            );
            let row = patch.width * patch.pitch;
            let step = h.in_step * patch.pitch;
            for slot in chunk0 * vectors..chunk1 * vectors {
                let chunk = slot / vectors;
                let mut c = slot % vectors;
                if comptime!(packing.size() > 0) {
                    c = channel::<N>(chunk, channels);
                } else {
                    c = chunk * share + first_channel::<N>(c, share, used);
                }
                for j in 0..v.taps {
                    for k in 0..h.taps {
                        let tap = (v.start + j) * horizontal.kernel + h.start + k;
                        let to = packed_start + (j * h.taps + k) * inputs;
                        for i in 0..inputs {
                            let offset = (tap * inputs + i) * channels + c;
                            packed[to + i] = load_part::<S, F, B, N, T>(weight, offset, used);
                        }
                    }
                }
                let mut xc = scratch_start + (chunk - chunk0) * patch.chunk;
                if comptime!(planted::is("grouped_first_group")) {
                    xc = scratch_start;
                }
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
                                let xb =
                                    xc + ((t - t0) * v.in_step + j) * row + tile * pixels * step;
                                let wb = packed_start + j * h.taps * inputs;
                                multiply::<F, I, N>(
                                    &*scratch,
                                    &*packed,
                                    &mut acc,
                                    xb,
                                    wb,
                                    inputs,
                                    h.taps,
                                    step,
                                    patch.pitch,
                                    variant,
                                );
                            }
                            let line = (n * vertical.target + oh) * horizontal.target;
                            #[unroll]
                            for p in 0..pixels {
                                let ow = (tile * pixels + p) * h.out_step + ph;
                                if ow < horizontal.target {
                                    let value = apply::<S, F, B, N, T>(
                                        acc[p],
                                        &operands,
                                        line + ow,
                                        c,
                                        used,
                                        epilogue,
                                    );
                                    let offset = y_view.at(line + ow) + c;
                                    store_part::<S, F, B, N, T>(y, offset, value, used);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The first channel within a group of its vector `v`.
#[cube]
pub(super) fn first_channel<N: Size>(v: usize, share: usize, #[comptime] used: usize) -> usize {
    let width = N::value().comptime();
    if comptime!(used == width) {
        channel::<N>(v, share)
    } else {
        // A group narrower than a vector has one.
        0usize.runtime()
    }
}

/// The pixels of a tile for rows of `columns`: the fewest computed in vain, then the longest tile. A shuffle a column leaves fewer
/// registers.
fn tile(columns: usize, packing: GroupPacking) -> usize {
    let sizes = match packing {
        GroupPacking::Plain => 7..=16,
        GroupPacking::Shuffled(_) => 6..=10,
    };
    sizes
        .rev()
        .min_by_key(|&pixels| columns.div_ceil(pixels) * (pixels + 2))
        .unwrap_or(8)
}

/// The output rows that are staged at a time.
fn block(stride: [usize; 2], packing: GroupPacking) -> usize {
    match packing {
        GroupPacking::Shuffled(_) if stride.iter().any(|&step| step > 1) => BLOCK_AT_STRIDE,
        _ => BLOCK,
    }
}

/// Launches the tiled kernel: `source` convolved into `target` with `weight` in the order the residues read it.
pub(super) fn launch_tiled(
    problem: &GroupedProblem,
    blueprint: &Blueprint,
    source: &Source,
    weight: &Tensor,
    target: &Tensor,
    transposed: bool,
    epilogue_args: EpilogueArgs,
) -> Result<(), KernelError> {
    let (entered, source) = (source, source.map());
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
    let (residues, steps) = if transposed {
        (stride, [1, 1])
    } else {
        ([1, 1], stride)
    };
    let rows = target_h.div_ceil(residues[0]);
    let columns = target_w.div_ceil(residues[1]);
    let class = [
        usize::from(transposed),
        problem.kernel[0],
        problem.kernel[1],
        stride[0],
        stride[1],
        channels,
        blueprint.inputs,
        source_h,
        source_w,
    ];
    let rule = [
        tile(columns, blueprint.packing),
        block(stride, blueprint.packing),
    ];
    let [pixels, most_rows] = TILE.choose(problem.dtype, class, rule, |_| true);
    let multiply_columns = (residues[1] == 1 && problem.kernel[1] <= WIDEST_WALK && steps[1] <= 2)
        .then_some([problem.kernel[1], steps[1]]);
    let patch_width = (columns.next_multiple_of(pixels) - 1) * steps[1] + problem.kernel[1];
    let block = rows.div_ceil(rows.div_ceil(most_rows));
    let patch_rows = (block - 1) * steps[0] + problem.kernel[0];
    let chunks = blueprint.chunks;
    let range = if blueprint.overlaps() {
        chunks
    } else {
        let most = PATCH / (patch_rows * patch_width * blueprint.pitch(1));
        chunks.div_ceil(chunks.div_ceil(most.max(1)))
    };
    let ranges = chunks.div_ceil(range);
    let (patch_len, patch) = blueprint.patch(patch_rows, patch_width, range, 0);
    let copied = blueprint.copied(client, problem, chunks - (ranges - 1) * range);
    let grid = launch::grid(client, problem.batch * rows.div_ceil(block) * ranges);
    let epilogue = epilogue_args.epilogue();
    let epilogue = Epilogue {
        clamp: planted::or("grouped_no_relu", epilogue.clamp, Clamp::None),
        ..epilogue
    };
    let room = |len: usize| {
        let (shape, accumulator) = ([grid.units, len], problem.dtype.accumulator());
        Tensor::room("grouped_conv", "scratch", client, &shape, accumulator)
    };
    let scratch = room(patch_len)?;
    let taps = problem.kernel[0] * problem.kernel[1];
    let packed = room(taps * blueprint.inputs * lanes.width)?;
    // SAFETY: `GroupedProblem` relates all extents; a patch holds every row and column that the residues of a block read.
    unsafe {
        tiled::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            1,
            lanes.item,
            lanes.width,
            copied,
            blueprint.piece,
            source.buffer(1, 0),
            lanes.arg(weight),
            lanes.arg(target),
            scratch.arg(1),
            packed.arg(lanes.width),
            epilogue_args.operands(lanes.item, weight, target, 2),
            entered.entrance(1, weight),
            lanes.unaligned(source),
            source.view(),
            target.view(),
            problem.batch,
            axis(0, source_h, target_h),
            axis(1, source_w, target_w),
            patch,
            blueprint.inputs,
            blueprint.chunk[1],
            channels,
            chunks,
            range,
            blueprint.vectors,
            block,
            grid.run,
            Variant {
                pixels,
                multiply_columns,
                packing: blueprint.packing,
                used: blueprint.used,
                transposed,
                prologue: entered.prologue(),
                epilogue,
            },
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
