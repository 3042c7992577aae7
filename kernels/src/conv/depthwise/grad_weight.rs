//! The gradient with respect to the weight: partial sums over runs of output rows, and their sum.

use super::DepthwiseProblem;
use super::axis::{Axis, axis};
use super::lines::Lines;
use super::multiplier::{Channels, Multiplier, Vectors, store_woven};
use super::plan::Blueprint;
use super::weight_cube;
use super::weight_tile::unrolled;
use super::weight_walk::walked;
use crate::lanes::View;
use crate::pointwise::{sum_rows, sum_rows_apart};
use crate::prologue::{Entrance, Source};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Partial sums, a function of the problem alone so that the bits do not depend on the machine; enough for 32 cores.
const MOST_PARTIALS: usize = 32;
/// Elements of all partial sums together, but for the fewest: a kernel of 31 x 31 would otherwise write more than it reads.
const MOST_ELEMENTS: usize = 1 << 22;
const FEWEST_PARTIALS: usize = 8;
/// Terms of one partial sum at most, unless one block has more, and of those that are added up one by one: f32 would lose the last of
/// them.
pub(super) const MOST_TERMS: usize = 1 << 15;
pub(super) const TERMS_IN_CHAIN: usize = 1 << 10;

/// Where everything lies, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Geometry {
    pub vertical: Axis,
    pub horizontal: Axis,
    pub x: View,
    pub grad: View,
    pub channels: usize,
    pub multiplier: usize,
}

/// The pixels that one row of tiles reads.
#[derive(CubeType, Clone, Copy)]
pub(super) struct TileRow {
    /// The first pixel of the gradient's row, and how many of the tile's rows exist.
    pub grad: usize,
    pub rows: usize,
    /// The first input row of the image.
    pub line: usize,
    pub lines: Lines,
}

/// Where the sums of one vector of channels are in the unit's scratch: that of share `k` of tap `t` at
/// `first + (t shares + k) step`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Kept {
    pub first: usize,
    pub step: usize,
}

/// One unit owns a run of partial sums, a partial sum a run of blocks of output rows. The sums of all taps stay in the unit's own scratch, which the first-level cache holds, while pixels are walked in
/// memory order; each vector of channels has its own, so that overlapping vectors add up nothing twice. Every thousand terms they are
/// added to those behind them.
#[cube(launch_unchecked)]
fn partial_sums<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    sums: &mut [Vector<F, N>],
    partials: &mut [Vector<F, B>],
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    geometry: Geometry,
    row_blocks: usize,
    blocks: usize,
    blocks_each: usize,
    partial_count: usize,
    tiles: usize,
    vectors: usize,
    run: usize,
    #[comptime] plan: Blueprint,
    #[comptime] sharing: Multiplier,
    #[comptime] bias: bool,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let shares = comptime!(sharing.shares());
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let wide_channels = geometry.channels * geometry.multiplier;
    let mut taps = geometry.vertical.kernel * geometry.horizontal.kernel;
    if comptime!(bias) {
        taps += 1;
    }
    let kept_each = taps * shares * vectors;
    let scratch = 2 * ABSOLUTE_POS * kept_each;
    let mut terms_of_tile = geometry.horizontal.target;
    if comptime!(plan.unrolled) {
        terms_of_tile = comptime!(plan.rows * plan.tile);
    }
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        for i in 0..2 * kept_each {
            sums[scratch + i] = zero;
        }
        let mut terms = 0usize;
        let from = partial * blocks_each;
        for block in from..min(from + blocks_each, blocks) {
            let image = block / row_blocks;
            let row = block % row_blocks * plan.rows;
            let tile_row = TileRow {
                grad: (image * geometry.vertical.target + row) * geometry.horizontal.target,
                rows: geometry.vertical.target - row,
                line: image * geometry.vertical.source,
                lines: Lines::of(&geometry.vertical, row, plan),
            };
            for t in 0..tiles {
                let tile = geometry.horizontal.tile(t, plan);
                for v in 0..vectors {
                    let channel_offsets =
                        Channels::of::<N>(v, geometry.channels, geometry.multiplier, true, sharing);
                    let kept = Kept {
                        first: scratch + v,
                        step: vectors,
                    };
                    if comptime!(!plan.unrolled) {
                        walked::<S, F, B, N>(
                            x,
                            grad,
                            sums,
                            &entrance,
                            &geometry,
                            &tile_row,
                            &channel_offsets,
                            &kept,
                            plan,
                            shares,
                            bias,
                        );
                    } else {
                        #[unroll]
                        for walk in 0..plan.walks() {
                            let guarded = comptime!(walk == 0);
                            if tile.suits(guarded, plan) {
                                unrolled::<S, F, B, N>(
                                    x,
                                    grad,
                                    sums,
                                    &entrance,
                                    &geometry,
                                    &tile_row,
                                    &tile,
                                    &channel_offsets,
                                    &kept,
                                    plan,
                                    shares,
                                    bias,
                                    guarded,
                                );
                            }
                        }
                    }
                }
                terms += terms_of_tile;
                if terms >= comptime!(TERMS_IN_CHAIN) {
                    terms = 0;
                    for i in scratch..scratch + kept_each {
                        sums[i + kept_each] += sums[i];
                        sums[i] = zero;
                    }
                }
            }
        }
        for tap in 0..taps {
            for v in 0..vectors {
                let channel_offsets =
                    Channels::of::<N>(v, geometry.channels, geometry.multiplier, true, sharing);
                let mut all = Array::<Vector<F, N>>::new(shares);
                #[unroll]
                for k in 0..shares {
                    let own = scratch + (tap * shares + k) * vectors + v;
                    all[k] = sums[own + kept_each] + sums[own];
                }
                let to = (partial * taps + tap) * wide_channels + channel_offsets.wide;
                store_woven::<F, F, B, N>(partials, to, &all, 0usize, shares);
            }
        }
    }
}

/// Blocks of output rows of one partial sum, of `blocks` in all.
fn blocks_each(problem: &DepthwiseProblem, rows: usize, blocks: usize, kept: usize) -> usize {
    let most = (MOST_ELEMENTS / kept).clamp(FEWEST_PARTIALS, MOST_PARTIALS);
    let terms = rows * problem.output()[1];
    blocks.div_ceil(most).min(MOST_TERMS / terms).max(1)
}

/// Launches the partial sums and their sum in a fixed order into `out` `[kh, kw, c m]`, and into `bias` `[c m]` where there is one.
pub(super) fn launch_grad_weight(
    problem: &DepthwiseProblem,
    source: &Source,
    grad: &Tensor,
    out: &Tensor,
    bias: Option<&Tensor>,
) -> Result<(), KernelError> {
    let partials = if launch::is_cpu(grad.client()) {
        launch_partials(problem, source, grad, bias.is_some())?
    } else {
        weight_cube::launch_partials(problem, source.map(), grad, bias.is_some())?
    };
    match bias {
        Some(bias) => sum_rows_apart(&partials, out, bias),
        None => sum_rows(&partials, out),
    }
    Ok(())
}

/// Launches the partial sums `[partials, kh kw, c m]`, or one row more where `bias` asks for that of the bias, on a CPU.
fn launch_partials(
    problem: &DepthwiseProblem,
    source: &Source,
    grad: &Tensor,
    bias: bool,
) -> Result<Tensor, KernelError> {
    let x = source.map();
    let (client, dtype) = (x.client(), problem.dtype);
    let plan = Blueprint {
        prologue: source.prologue(),
        ..Blueprint::of_weight(problem)
    };
    let vectors = Vectors::new(problem, &[x, grad]);
    let lanes = &vectors.lanes;
    let sharing = Multiplier::new(problem.multiplier);
    let count = vectors.count(true);
    let row_blocks = problem.output()[0].div_ceil(plan.rows);
    let blocks = problem.batch * row_blocks;
    let [kh, kw, channels] = problem.weight_shape();
    let kept = kh * kw + usize::from(bias);
    let blocks_each = blocks_each(problem, plan.rows, blocks, kept * channels);
    let partial_count = blocks.div_ceil(blocks_each);
    let grid = launch::grid(client, partial_count);
    let room = |shape: &[usize]| {
        let op = "depthwise grad_weight";
        Tensor::room(op, "scratch", client, shape, dtype.accumulator())
    };
    let of_unit = 2 * kept * sharing.shares() * count * lanes.width;
    let sums = room(&[grid.units, of_unit])?;
    let partials = room(&[partial_count, kept * channels])?;
    // One walk along a row serves all of its outputs, where tiles serve a few each.
    let tiles = if plan.unrolled {
        plan.tiles(problem)
    } else {
        1
    };
    // SAFETY: `DepthwiseProblem` relates all extents; every unit has room for its own sums.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            sums.arg(lanes.width),
            lanes.arg(&partials),
            source.entrance(lanes.item, grad),
            lanes.unaligned(x),
            GeometryLaunch::new(
                axis(problem, 0, false),
                axis(problem, 1, false),
                x.view(),
                grad.view(),
                problem.channels,
                problem.multiplier,
            ),
            row_blocks,
            blocks,
            blocks_each,
            partial_count,
            tiles,
            count,
            grid.run,
            plan,
            sharing,
            bias,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(partials)
}
