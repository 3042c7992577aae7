//! What one tile of outputs adds to the gradient of the weight, its taps unrolled.

use super::axis::Tile;
use super::grad_weight::{Geometry, Kept, TileRow};
use super::multiplier::{Channels, load_apart};
use super::plan::Blueprint;
use crate::prologue::{Entrance, enter};
use cubecl::prelude::*;

/// Adds the products of a tile of outputs to the sums, a source row at a time. `guarded` where the tile reaches past a side edge.
#[cube]
pub(super) fn unrolled<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    sums: &mut [Vector<F, N>],
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    tile: &Tile,
    channel_offsets: &Channels,
    kept: &Kept,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] bias: bool,
    #[comptime] guarded: bool,
) {
    let outputs = comptime!(plan.rows * plan.tile);
    let mut g = Array::<Vector<F, N>>::new(comptime!(outputs * shares));
    #[unroll]
    for i in 0..comptime!(outputs * shares) {
        g[i] = Vector::<F, N>::new(F::new(0.0f32));
    }
    #[unroll]
    for i in 0..outputs {
        let (row, column) = comptime!((i / plan.tile, i % plan.tile));
        let mut exists = true.runtime();
        if comptime!(guarded) {
            exists = column < tile.last;
        }
        if comptime!(row > 0) {
            exists = exists && row < tile_row.rows;
        }
        if exists {
            let pixel = tile_row.grad + row * geometry.horizontal.target + tile.target + column;
            let from = geometry.grad.at(pixel) + channel_offsets.wide;
            load_apart::<S, F, B, N>(grad, from, &mut g, comptime!(i * shares), shares);
        }
    }
    if comptime!(bias) {
        let taps = geometry.vertical.kernel * geometry.horizontal.kernel;
        #[unroll]
        for k in 0..shares {
            let to = kept.first + (taps * shares + k) * kept.step;
            let mut sum = sums[to];
            #[unroll]
            for i in 0..outputs {
                sum += g[comptime!(i * shares + k)];
            }
            sums[to] = sum;
        }
    }
    if comptime!(plan.height.is_some()) {
        held::<S, F, B, N>(
            x,
            &g,
            sums,
            entrance,
            geometry,
            tile_row,
            tile,
            channel_offsets,
            kept,
            plan,
            guarded,
        );
    } else {
        kernel_rows::<S, F, B, N>(
            x,
            &g,
            sums,
            entrance,
            geometry,
            tile_row,
            tile,
            channel_offsets,
            kept,
            plan,
            shares,
            guarded,
        );
    }
}

/// Adds the products of a tile to the sums of all taps, which are held in registers: each input is loaded once for all of them.
#[cube]
fn held<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    g: &Array<Vector<F, N>>,
    sums: &mut [Vector<F, N>],
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    tile: &Tile,
    channel_offsets: &Channels,
    kept: &Kept,
    #[comptime] plan: Blueprint,
    #[comptime] guarded: bool,
) {
    let height = comptime!(plan.height.unwrap_or(0));
    let taps = comptime!(height * plan.kernel);
    let mut sum = Array::<Vector<F, N>>::new(taps);
    #[unroll]
    for tap in 0..taps {
        sum[tap] = sums[kept.first + tap * kept.step];
    }
    // Source rows are counted from the one under the kernel's first row, which may lie above the image: the sums wrap around.
    let lower = tile_row.lines.upper.tap;
    let upper = lower + tile_row.lines.count;
    let line_step = geometry.horizontal.source * geometry.x.pitch;
    let line = (tile_row.line + tile_row.lines.first) * geometry.horizontal.source + tile.source;
    let start = geometry.x.at(line) + channel_offsets.narrow - lower * line_step;
    #[unroll]
    for row in 0..comptime!(height + 1) {
        if row >= lower && row < upper {
            let start = start + row * line_step;
            #[unroll]
            for p in 0..plan.sources() {
                if comptime!(plan.reads(p)) {
                    let mut exists = true.runtime();
                    if comptime!(guarded) {
                        exists = p >= tile.lower && p < tile.upper;
                    }
                    if exists {
                        let mut value = Array::<Vector<F, N>>::new(1usize);
                        let from = start + p * geometry.x.pitch;
                        load_apart::<S, F, B, N>(x, from, &mut value, 0usize, 1usize);
                        let value = enter::<S, F, B, N>(
                            value[0],
                            entrance,
                            channel_offsets.narrow,
                            comptime!(plan.prologue),
                        );
                        if comptime!(row < height) {
                            column::<F, N>(
                                value,
                                g,
                                &mut sum,
                                tile,
                                plan,
                                1usize,
                                guarded,
                                p,
                                0usize,
                                comptime!(row * plan.kernel),
                            );
                        }
                        if comptime!(row > 0) {
                            if tile_row.rows > 1 {
                                column::<F, N>(
                                    value,
                                    g,
                                    &mut sum,
                                    tile,
                                    plan,
                                    1usize,
                                    guarded,
                                    p,
                                    1usize,
                                    comptime!((row - 1) * plan.kernel),
                                );
                            }
                        }
                    }
                }
            }
        }
    }
    #[unroll]
    for tap in 0..taps {
        sums[kept.first + tap * kept.step] = sum[tap];
    }
}

/// Adds the products of a tile to the sums, a source row and a kernel row at a time.
#[cube]
fn kernel_rows<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    g: &Array<Vector<F, N>>,
    sums: &mut [Vector<F, N>],
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    tile: &Tile,
    channel_offsets: &Channels,
    kept: &Kept,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] guarded: bool,
) {
    let lines = &tile_row.lines;
    let tap_step = plan.kernel * shares * kept.step;
    let line_step = lines.step * geometry.horizontal.source * geometry.x.pitch;
    let line = (tile_row.line + lines.first) * geometry.horizontal.source + tile.source;
    let mut start = geometry.x.at(line) + channel_offsets.narrow;
    let mut upper = kept.first + lines.upper.tap * tap_step;
    let mut lower = kept.first + lines.lower.tap * tap_step;
    for i in 0..lines.count {
        if comptime!(plan.rows == 1) {
            kernel_row::<S, F, B, N>(
                x,
                g,
                sums,
                entrance,
                channel_offsets,
                geometry,
                tile,
                start,
                upper,
                kept.step,
                plan,
                shares,
                guarded,
                0usize,
            );
            upper += tap_step;
        } else {
            if i >= lines.upper.begin && i < lines.upper.end {
                kernel_row::<S, F, B, N>(
                    x,
                    g,
                    sums,
                    entrance,
                    channel_offsets,
                    geometry,
                    tile,
                    start,
                    upper,
                    kept.step,
                    plan,
                    shares,
                    guarded,
                    0usize,
                );
                upper += tap_step;
            }
            if i >= lines.lower.begin && i < lines.lower.end {
                kernel_row::<S, F, B, N>(
                    x,
                    g,
                    sums,
                    entrance,
                    channel_offsets,
                    geometry,
                    tile,
                    start,
                    lower,
                    kept.step,
                    plan,
                    shares,
                    guarded,
                    1usize,
                );
                lower += tap_step;
            }
        }
        start += line_step;
    }
}

/// Adds the products of one source row with one of the tile's rows of gradients to the sums of a kernel row, which begin at `tap`.
#[cube]
fn kernel_row<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    g: &Array<Vector<F, N>>,
    sums: &mut [Vector<F, N>],
    entrance: &Entrance<F, B>,
    channel_offsets: &Channels,
    geometry: &Geometry,
    tile: &Tile,
    start: usize,
    tap: usize,
    step: usize,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] guarded: bool,
    #[comptime] of_tile: usize,
) {
    let taps = comptime!(plan.kernel * shares);
    let mut sum = Array::<Vector<F, N>>::new(taps);
    #[unroll]
    for k in 0..taps {
        sum[k] = sums[tap + k * step];
    }
    #[unroll]
    for p in 0..plan.sources() {
        if comptime!(plan.reads(p)) {
            let mut exists = true.runtime();
            if comptime!(guarded) {
                exists = p >= tile.lower && p < tile.upper;
            }
            if exists {
                let mut value = Array::<Vector<F, N>>::new(1usize);
                let from = start + p * geometry.x.pitch;
                load_apart::<S, F, B, N>(x, from, &mut value, 0usize, 1usize);
                let value = enter::<S, F, B, N>(
                    value[0],
                    entrance,
                    channel_offsets.narrow,
                    comptime!(plan.prologue),
                );
                column::<F, N>(
                    value, g, &mut sum, tile, plan, shares, guarded, p, of_tile, 0usize,
                );
            }
        }
    }
    #[unroll]
    for k in 0..taps {
        sums[tap + k * step] = sum[k];
    }
}

/// Adds the products of source place `p` of a tile with one of the tile's rows of gradients to the sums of a kernel row, which
/// begin at `sum[from]`.
#[cube]
fn column<F: Float, N: Size>(
    value: Vector<F, N>,
    g: &Array<Vector<F, N>>,
    sum: &mut Array<Vector<F, N>>,
    tile: &Tile,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] guarded: bool,
    #[comptime] p: usize,
    #[comptime] of_tile: usize,
    #[comptime] from: usize,
) {
    #[unroll]
    for i in 0..plan.tile {
        if comptime!(plan.tap(i, p).is_some()) {
            let tap = comptime!(from + plan.tap(i, p).unwrap_or(0) * shares);
            let of = comptime!((of_tile * plan.tile + i) * shares);
            if comptime!(guarded) {
                if i < tile.last {
                    products::<F, N>(value, g, sum, of, tap, shares);
                }
            } else {
                products::<F, N>(value, g, sum, of, tap, shares);
            }
        }
    }
}

/// Adds the products of one input with the shares' gradients from `g[of]` on to their sums from `sum[tap]` on.
#[cube]
pub(super) fn products<F: Float, N: Size>(
    value: Vector<F, N>,
    g: &Array<Vector<F, N>>,
    sum: &mut Array<Vector<F, N>>,
    #[comptime] of: usize,
    #[comptime] tap: usize,
    #[comptime] shares: usize,
) {
    #[unroll]
    for k in 0..shares {
        let to = comptime!(tap + k);
        sum[to] = fma(value, g[comptime!(of + k)], sum[to]);
    }
}
