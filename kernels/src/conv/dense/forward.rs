use super::stage::stage;
use super::wide::{self, launch_wide};
use super::{ConvProblem, Strategy, winograd};
use crate::affine::{Epilogue, EpilogueArgs, Operands, apply};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::matmul::implicit::{Pass, launch_implicit};
use crate::prologue::{Entrance, Prologue, Source};
use crate::taps::{Axis, AxisLaunch};
use crate::tune::Knob;
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Output rows that a unit stages at a time.
const BLOCK: usize = 8;

/// Pixels and vectors of a tile, and output rows that a unit stages at a time.
const TILE: Knob<8, 3> = Knob {
    op: "conv",
    class: CLASS,
    sizes: [
        ("pixels", &[4, 6, 8, 10, 12, 14, 16]),
        ("vectors", &[1, 2, 3, 4]),
        ("rows", &[4, 8, 16]),
    ],
};
/// What the tile of a convolution may hang on.
pub(super) const CLASS: [&str; 8] = [
    "transposed",
    "kernel_h",
    "kernel_w",
    "stride",
    "in_channels",
    "out_channels",
    "height",
    "width",
];

/// The class of a pass of `problem`; strides of two sides are told apart where they differ.
pub(super) fn class(problem: &ConvProblem, transposed: bool) -> [usize; 8] {
    let [stride_h, stride_w] = problem.options.stride;
    let stride = match stride_h == stride_w {
        true => stride_h,
        false => 100 * stride_h + stride_w,
    };
    [
        usize::from(transposed),
        problem.kernel[0],
        problem.kernel[1],
        stride,
        problem.in_channels,
        problem.out_channels,
        problem.input[0],
        problem.input[1],
    ]
}

/// The tile `[pixels, vectors]` that covers `columns` pixels of `vectors` vectors in the least time: a step costs half a cycle a
/// product or a load, and no less than the four cycles that an accumulator takes to be ready again.
fn tile(columns: usize, vectors: usize) -> [usize; 2] {
    [[8, 2], [16, 1], [12, 2], [8, 3], [6, 4], [4, 4]]
        .into_iter()
        .min_by_key(|&[p, v]| {
            let step = (p * v).max(p + v).max(8) + 2;
            columns.div_ceil(p) * vectors.div_ceil(v) * step
        })
        .unwrap_or([8, 2])
}

/// The tiled convolution, forward or transposed. One unit owns a run of blocks of `block` output rows; a tile is `pixels`
/// neighbouring outputs of one row by `vectors` vectors of output channels, all held in registers.
#[cube(launch_unchecked)]
fn tiled<S: Float, F: Float, B: Size, N: Size>(
    x: &[S],
    weight: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    patches: &mut [F],
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
    patch_width: usize,
    patch_len: usize,
    run: usize,
    #[comptime] pixels: usize,
    #[comptime] vectors: usize,
    #[comptime] transposed: bool,
    #[comptime] prologue: Prologue,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
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
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch * blocks);
    let patch_start = ABSOLUTE_POS * patch_len;
    for item in first..last {
        let n = item / blocks;
        let t0 = item % blocks * block;
        let t1 = min(t0 + block, rows);
        for residue in 0..residues_v * residues_h {
            let pv = residue / residues_h;
            let ph = residue % residues_h;
            let v = vertical.taps(pv, transposed);
            let h = horizontal.taps(ph, transposed);
            let columns = (horizontal.target - ph + residues_h - 1) / residues_h;
            let tiles = (columns + comptime!(pixels - 1)) / pixels;
            let patch_rows = (t1 - t0 - 1) * v.in_step + max(v.taps, 1);
            stage::<S, F, B, N>(
                x,
                patches,
                patch_start,
                n,
                t0 * v.in_step,
                patch_rows,
                patch_width,
                in_channels,
                &vertical,
                &horizontal,
                &v,
                &h,
                &entrance,
                prologue,
            );
            let pixel_step = h.in_step * in_channels;
            for group in 0..(out_vectors + comptime!(vectors - 1)) / vectors {
                let mut channels = Array::<usize>::new(vectors);
                #[unroll]
                for o in 0..vectors {
                    channels[o] = channel::<N>(group * vectors + o, out_channels);
                }
                for t in t0..t1 {
                    let oh = t * v.out_step + pv;
                    if oh < vertical.target {
                        for tile in 0..tiles {
                            let mut acc = Array::<Vector<F, N>>::new(pixels * vectors);
                            #[unroll]
                            for i in 0..pixels * vectors {
                                acc[i] = zero;
                            }
                            for j in 0..v.taps {
                                let xb = patch_start
                                    + ((t - t0) * v.in_step + j) * patch_width * in_channels
                                    + tile * pixels * pixel_step;
                                let wb = ((v.start + j) * horizontal.kernel + h.start)
                                    * in_channels
                                    * out_channels;
                                for q in 0..h.taps * in_channels {
                                    let mut wv = Array::<Vector<F, N>>::new(vectors);
                                    #[unroll]
                                    for o in 0..vectors {
                                        wv[o] = load::<S, F, B, N>(
                                            weight,
                                            wb + q * out_channels + channels[o],
                                        );
                                    }
                                    #[unroll]
                                    for i in 0..pixels {
                                        let xv = Vector::<F, N>::cast_from(
                                            patches[xb + i * pixel_step + q],
                                        );
                                        #[unroll]
                                        for o in 0..vectors {
                                            acc[i * vectors + o] =
                                                fma(xv, wv[o], acc[i * vectors + o]);
                                        }
                                    }
                                }
                            }
                            let line = (n * vertical.target + oh) * horizontal.target;
                            #[unroll]
                            for i in 0..pixels {
                                let ow = (tile * pixels + i) * h.out_step + ph;
                                if ow < horizontal.target {
                                    #[unroll]
                                    for o in 0..vectors {
                                        let c = channels[o];
                                        let value = apply::<S, F, B, N, N>(
                                            acc[i * vectors + o],
                                            &operands,
                                            line + ow,
                                            c,
                                            N::value().comptime(),
                                            epilogue,
                                        );
                                        store::<S, F, B, N>(y, y_view.at(line + ow) + c, value);
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

/// Whether a gradient with respect to the input may be written over a tensor of the input's shape that is added to it: no vector of
/// channels is computed twice. On a GPU none is.
pub(super) fn writes_once(problem: &ConvProblem, strategy: Strategy, over: &Tensor) -> bool {
    let client = over.client();
    if !launch::is_cpu(client) {
        return true;
    }
    let lanes = Lanes::of(client, problem.dtype, problem.in_channels, &[over]);
    let columns = problem.input[1].div_ceil(problem.options.stride[1]);
    let narrow = || match strategy.outputs(problem, client, true) {
        Some(_) => winograd::tile_vectors(lanes.vectors()),
        None => tile(columns, lanes.vectors())[1],
    };
    let vectors = wide::tile_vectors(lanes.vectors()).unwrap_or_else(narrow);
    !lanes.overlap() && lanes.vectors().is_multiple_of(vectors)
}

/// Launches the tiled kernel: `source` convolved into `target` with `weight` in the order the residues read it.
pub(super) fn launch_tiled(
    problem: &ConvProblem,
    source: &Source,
    weight: &Tensor,
    target: &Tensor,
    transposed: bool,
    strategy: Strategy,
    epilogue_args: EpilogueArgs,
) -> Result<(), KernelError> {
    let map = source.map();
    let client = map.client();
    if let Some(outputs) = strategy.outputs(problem, client, transposed) {
        return winograd::launch_winograd(
            problem,
            source,
            weight,
            target,
            transposed,
            epilogue_args,
            outputs,
        );
    }
    if !launch::is_cpu(client) {
        let pass = if transposed {
            Pass::Transposed
        } else {
            Pass::Forward
        };
        let gathered = problem.gathered(transposed);
        launch_implicit(&gathered, pass, map, weight, epilogue_args, target);
        return Ok(());
    }
    let [_, source_h, source_w, in_channels] = *map.shape() else {
        unreachable!("checked")
    };
    let [_, target_h, target_w, out_channels] = *target.shape() else {
        unreachable!("checked")
    };
    let axis = |axis: usize, source: usize, target: usize| {
        let padding = problem.options.padding[axis];
        AxisLaunch::new(
            source,
            target,
            problem.kernel[axis],
            problem.options.stride[axis],
            planted::or("conv_padding", padding, padding + 1),
        )
    };
    let vectors = Lanes::of(client, problem.dtype, out_channels, &[target]).vectors();
    if let Some(vectors) = wide::tile_vectors(vectors) {
        let axes = [axis(0, source_h, target_h), axis(1, source_w, target_w)];
        return launch_wide(
            problem,
            source,
            weight,
            target,
            transposed,
            epilogue_args,
            vectors,
            axes,
        );
    }
    let residual = epilogue_args.residual.unwrap_or(target);
    let lanes = Lanes::of(client, problem.dtype, out_channels, &[target, residual]);
    let residues = if transposed {
        problem.options.stride
    } else {
        [1, 1]
    };
    let steps = if transposed {
        [1, 1]
    } else {
        problem.options.stride
    };
    let rows = target_h.div_ceil(residues[0]);
    let [pixels, vectors] = tile(target_w.div_ceil(residues[1]), lanes.vectors());
    let [pixels, vectors, block] = TILE.choose(
        problem.dtype,
        class(problem, transposed),
        [pixels, vectors, BLOCK],
        |[pixels, vectors, _]| (8..=24).contains(&(pixels * vectors)) && vectors <= lanes.vectors(),
    );
    let columns = target_w.div_ceil(residues[1]).next_multiple_of(pixels);
    let patch_width = (columns - 1) * steps[1] + problem.kernel[1];
    let block = block.min(rows);
    let patch_rows = (block - 1) * steps[0] + problem.kernel[0];
    let patch_len = (patch_rows * patch_width * in_channels).next_multiple_of(16);
    let grid = launch::grid(client, problem.batch * rows.div_ceil(block));
    let accumulator = problem.dtype.accumulator();
    let patches = [grid.units, patch_len];
    let patches = Tensor::room("conv", "scratch", client, &patches, accumulator)?;
    // SAFETY: `ConvProblem` relates all extents; a patch holds every row and column that the residues of a block read.
    unsafe {
        tiled::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            map.arg(1),
            lanes.arg(weight),
            lanes.arg(target),
            patches.arg(1),
            epilogue_args.operands(lanes.item, weight, target, 2),
            source.entrance(lanes.item, weight),
            lanes.unaligned(map),
            target.view(),
            problem.batch,
            axis(0, source_h, target_h),
            axis(1, source_w, target_w),
            in_channels,
            out_channels,
            lanes.vectors(),
            block,
            patch_width,
            patch_len,
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
