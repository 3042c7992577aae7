//! The kernel of the forward pass and, transposed, of the gradient with respect to the input.

use super::DepthwiseProblem;
use super::axis::{Axis, Tile, axis};
use super::epilogue::store_tile;
use super::lines::Lines;
use super::multiplier::{Channels, Multiplier, Vectors};
use super::plan::Blueprint;
use super::tile::unrolled;
use super::walk::{swept, walked};
use crate::affine::{Epilogue, EpilogueArgs, Operands};
use crate::lanes::View;
use crate::prologue::{Entrance, Source};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// Where everything lies, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Geometry {
    pub vertical: Axis,
    pub horizontal: Axis,
    pub source: View,
    pub target: View,
    /// Of the input, and for each of them of the output.
    pub channels: usize,
    pub multiplier: usize,
}

/// The pixels that one row of tiles reads and writes.
#[derive(CubeType, Clone, Copy)]
pub(super) struct TileRow {
    /// The first pixel of the target's row, and how many of the tile's rows exist.
    pub target: usize,
    pub rows: usize,
    /// The first source row of the image.
    pub line: usize,
    pub lines: Lines,
}

/// One unit owns a run of items; an item is `tiles_each` tiles of neighbouring target rows in `vectors_each` vectors of channels.
/// Pixels go outside and channels inside, so that memory is walked in its own order.
#[cube(launch_unchecked)]
fn convolve<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    target: &mut [Vector<S, B>],
    operands: Operands<S, F, B>,
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    geometry: Geometry,
    row_blocks: usize,
    images: usize,
    tiles: usize,
    tiles_each: usize,
    vectors: usize,
    vectors_each: usize,
    run: usize,
    #[comptime] plan: Blueprint,
    #[comptime] sharing: Multiplier,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let transposed = comptime!(plan.transposed);
    let tile_blocks = (tiles + tiles_each - 1) / tiles_each;
    let vector_blocks = (vectors + vectors_each - 1) / vectors_each;
    let first = ABSOLUTE_POS * run;
    let last = min(
        first + run,
        images * row_blocks * tile_blocks * vector_blocks,
    );
    for item in first..last {
        let v0 = item % vector_blocks * vectors_each;
        let v1 = min(v0 + vectors_each, vectors);
        let block = item / vector_blocks;
        let t0 = block % tile_blocks * tiles_each;
        let t1 = min(t0 + tiles_each, tiles);
        let block = block / tile_blocks;
        let image = block / row_blocks;
        let row = block % row_blocks * plan.rows;
        let tile_row = TileRow {
            target: (image * geometry.vertical.target + row) * geometry.horizontal.target,
            rows: geometry.vertical.target - row,
            line: image * geometry.vertical.source,
            lines: Lines::of(&geometry.vertical, row, plan),
        };
        for t in t0..t1 {
            let tile = geometry.horizontal.tile(t, plan);
            for v in v0..v1 {
                let channel_offsets = Channels::of::<N>(
                    v,
                    geometry.channels,
                    geometry.multiplier,
                    comptime!(!transposed),
                    sharing,
                );
                #[unroll]
                for walk in 0..plan.walks() {
                    let guarded = comptime!(walk == 0);
                    if tile.suits(guarded, plan) {
                        solve::<S, F, B, N>(
                            source,
                            weight,
                            target,
                            &operands,
                            &entrance,
                            &geometry,
                            &tile_row,
                            t,
                            &tile,
                            &channel_offsets,
                            plan,
                            sharing,
                            epilogue,
                            guarded,
                        );
                    }
                }
            }
        }
    }
}

/// Sums up tile `t` of a row in one vector of channels and stores it after the epilogue. Only a tile that lies inside of source and
/// target may go without guards.
#[cube]
fn solve<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    target: &mut [Vector<S, B>],
    operands: &Operands<S, F, B>,
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    t: usize,
    tile: &Tile,
    channel_offsets: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] sharing: Multiplier,
    #[comptime] epilogue: Epilogue,
    #[comptime] guarded: bool,
) {
    let transposed = comptime!(plan.transposed);
    let shares = comptime!(sharing.shares());
    let sums_of_pixel = comptime!(if transposed { 1 } else { shares });
    let size = comptime!(plan.rows * plan.tile * sums_of_pixel);
    let mut sums = Array::<Vector<F, N>>::new(size);
    #[unroll]
    for i in 0..size {
        sums[i] = Vector::new(F::new(0.0f32));
    }
    let mut singles = 1usize.runtime();
    if comptime!(transposed && sharing == Multiplier::Single) {
        singles = geometry.multiplier;
    }
    for single in 0..singles {
        let channel_offsets = channel_offsets.share(single);
        if comptime!(plan.unrolled) {
            unrolled::<S, F, B, N>(
                source,
                weight,
                &mut sums,
                entrance,
                geometry,
                tile_row,
                tile,
                &channel_offsets,
                plan,
                shares,
                guarded,
            );
        } else if comptime!(plan.tile > 1) {
            swept::<S, F, B, N>(
                source,
                weight,
                &mut sums,
                entrance,
                geometry,
                tile_row,
                tile,
                &channel_offsets,
                plan,
            );
        } else {
            let columns = geometry.horizontal.walk(t, transposed);
            walked::<S, F, B, N>(
                source,
                weight,
                &mut sums,
                entrance,
                geometry,
                tile_row,
                &columns,
                &channel_offsets,
                plan,
                shares,
            );
        }
    }
    store_tile::<S, F, B, N>(
        target,
        operands,
        &sums,
        geometry,
        tile_row,
        tile,
        channel_offsets,
        plan,
        shares,
        epilogue,
        guarded,
    );
}

/// Launches the kernel: `source` convolved into `target`, or, `transposed`, the output's gradient into the input's.
pub(super) fn launch_convolve(
    problem: &DepthwiseProblem,
    source: &Source,
    weight: &Tensor,
    target: &Tensor,
    epilogue_args: EpilogueArgs,
    transposed: bool,
) {
    let (entered, source) = (source, source.map());
    let (client, dtype) = (source.client(), problem.dtype);
    let plan = Blueprint {
        prologue: entered.prologue(),
        ..Blueprint::new(problem, transposed, launch::is_cpu(client))
    };
    let beside = epilogue_args.residual.unwrap_or(source);
    let vectors = Vectors::new(problem, &[source, target, beside]);
    let lanes = &vectors.lanes;
    let (count, tiles) = (vectors.count(!transposed), plan.tiles(problem));
    // A core walks whole rows; the many units of a GPU take a tile of one vector each.
    let [tiles_each, vectors_each] = if launch::is_cpu(client) {
        [tiles, count]
    } else {
        [1, 1]
    };
    let (images, row_blocks) = (target.shape()[0], target.shape()[1].div_ceil(plan.rows));
    let items = images * row_blocks * tiles.div_ceil(tiles_each) * count.div_ceil(vectors_each);
    let grid = launch::grid(client, items);
    let epilogue = epilogue_args.epilogue();
    let epilogue = Epilogue {
        residual: planted::or("depthwise_plus", epilogue.residual, false),
        ..epilogue
    };
    // SAFETY: `DepthwiseProblem` relates all extents, the walks stay inside of the source, tiles are cut to the target.
    unsafe {
        convolve::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(source),
            lanes.arg(weight),
            lanes.arg(target),
            epilogue_args.operands(lanes.item, weight, target, 2),
            entered.entrance(lanes.item, weight),
            lanes.unaligned(source),
            GeometryLaunch::new(
                axis(problem, 0, transposed),
                axis(problem, 1, transposed),
                source.view(),
                target.view(),
                problem.channels,
                problem.multiplier,
            ),
            row_blocks,
            images,
            tiles,
            tiles_each,
            count,
            vectors_each,
            grid.run,
            plan,
            Multiplier::new(problem.multiplier),
            epilogue,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
