//! The sums of one tile, unrolled over the taps of a kernel row.

use super::axis::Tile;
use super::convolve::{Geometry, TileRow};
use super::multiplier::{Channels, load_apart};
use super::plan::Blueprint;
use crate::prologue::{Entrance, enter};
use cubecl::prelude::*;

/// Adds the products of a tile, a source row at a time, to `sums`: each source vector is loaded once for all targets of a tile
/// inside of the image that read it. `guarded` where the tile reaches past a side edge.
#[cube]
pub(super) fn unrolled<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    sums: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    tile: &Tile,
    channel_offsets: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] guarded: bool,
) {
    let lines = &tile_row.lines;
    let step = geometry.channels * geometry.multiplier;
    let tap_step = lines.tap_step * plan.kernel * step;
    let line_step = lines.step * geometry.horizontal.source * geometry.source.pitch;
    let line = (tile_row.line + lines.first) * geometry.horizontal.source + tile.source;
    let mut start = geometry.source.at(line);
    if comptime!(plan.transposed) {
        start += channel_offsets.wide;
    } else {
        start += channel_offsets.narrow;
    }
    let mut upper = lines.upper.tap * plan.kernel * step + channel_offsets.wide;
    let mut lower = lines.lower.tap * plan.kernel * step + channel_offsets.wide;
    // Two rows of targets take a source row from registers, as far as its columns are known to exist.
    let ahead = comptime!(plan.rows > 1 && !guarded);
    let held = comptime!(if ahead { plan.sources() } else { 1 });
    for i in 0..lines.count {
        let mut row = Array::<Vector<F, N>>::new(held);
        if comptime!(ahead) {
            #[unroll]
            for p in 0..held {
                if comptime!(plan.reads(p)) {
                    load_apart::<S, F, B, N>(
                        source,
                        start + p * geometry.source.pitch,
                        &mut row,
                        p,
                        1usize,
                    );
                    row[p] = enter::<S, F, B, N>(
                        row[p],
                        entrance,
                        channel_offsets.narrow,
                        comptime!(plan.prologue),
                    );
                }
            }
        }
        if comptime!(plan.rows == 1) {
            kernel_row::<S, F, B, N>(
                source,
                weight,
                &row,
                sums,
                entrance,
                channel_offsets.narrow,
                geometry,
                tile,
                start,
                upper,
                step,
                plan,
                shares,
                guarded,
                0usize,
            );
            upper = next(upper, tap_step, plan.transposed);
        } else {
            if i >= lines.upper.begin && i < lines.upper.end {
                kernel_row::<S, F, B, N>(
                    source,
                    weight,
                    &row,
                    sums,
                    entrance,
                    channel_offsets.narrow,
                    geometry,
                    tile,
                    start,
                    upper,
                    step,
                    plan,
                    shares,
                    guarded,
                    0usize,
                );
                upper = next(upper, tap_step, plan.transposed);
            }
            if i >= lines.lower.begin && i < lines.lower.end {
                kernel_row::<S, F, B, N>(
                    source,
                    weight,
                    &row,
                    sums,
                    entrance,
                    channel_offsets.narrow,
                    geometry,
                    tile,
                    start,
                    lower,
                    step,
                    plan,
                    shares,
                    guarded,
                    1usize,
                );
                lower = next(lower, tap_step, plan.transposed);
            }
        }
        start += line_step;
    }
}

/// The weights of the next kernel row that a walk up the source's rows meets.
#[cube]
fn next(tap: usize, tap_step: usize, #[comptime] transposed: bool) -> usize {
    if comptime!(transposed) {
        tap - tap_step
    } else {
        tap + tap_step
    }
}

/// Adds the products of one source row, from registers where `row` has it, with the kernel's row at `tap` to the sums of one of
/// the tile's rows.
#[cube]
fn kernel_row<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    row: &Array<Vector<F, N>>,
    sums: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    channel: usize,
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
    let kernel = comptime!(plan.kernel);
    let mut taps = Array::<Vector<F, N>>::new(comptime!(kernel * shares));
    #[unroll]
    for k in 0..kernel {
        load_apart::<S, F, B, N>(
            weight,
            tap + k * step,
            &mut taps,
            comptime!(k * shares),
            shares,
        );
    }
    if comptime!(plan.rows > 1 && !guarded) {
        // One weight at a time, as the sources fill the registers. In the order of the sources, as below: a sum's bits do not hang on the tile.
        #[unroll]
        for j in 0..kernel {
            let k = comptime!(if plan.transposed { kernel - 1 - j } else { j });
            #[unroll]
            for i in 0..plan.tile {
                if comptime!(plan.source(i, k).is_some()) {
                    let sum = comptime!(of_tile * plan.tile + i);
                    let x = row[comptime!(plan.source(i, k).unwrap_or(0))];
                    sums[sum] = fma(x, taps[k], sums[sum]);
                }
            }
        }
    } else {
        #[unroll]
        for p in 0..plan.sources() {
            if comptime!(plan.reads(p)) {
                let pixel = start + p * geometry.source.pitch;
                if comptime!(guarded) {
                    if p >= tile.lower && p < tile.upper {
                        column::<S, F, B, N>(
                            source, &taps, sums, entrance, channel, pixel, plan, shares, of_tile, p,
                        );
                    }
                } else {
                    column::<S, F, B, N>(
                        source, &taps, sums, entrance, channel, pixel, plan, shares, of_tile, p,
                    );
                }
            }
        }
    }
}

/// Loads source place `p` of a tile and adds its products to the sums of one of the tile's rows.
#[cube]
fn column<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    taps: &Array<Vector<F, N>>,
    sums: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    channel: usize,
    pixel: usize,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] of_tile: usize,
    #[comptime] p: usize,
) {
    let read = comptime!(if plan.transposed { shares } else { 1 });
    let mut x = Array::<Vector<F, N>>::new(read);
    load_apart::<S, F, B, N>(source, pixel, &mut x, 0usize, read);
    x[0] = enter::<S, F, B, N>(x[0], entrance, channel, comptime!(plan.prologue));
    #[unroll]
    for i in 0..plan.tile {
        if comptime!(plan.tap(i, p).is_some()) {
            let tap = comptime!(plan.tap(i, p).unwrap_or(0) * shares);
            let target = comptime!(of_tile * plan.tile + i);
            #[unroll]
            for k in 0..shares {
                let weight = taps[comptime!(tap + k)];
                if comptime!(plan.transposed) {
                    sums[target] = fma(x[k], weight, sums[target]);
                } else {
                    let sum = comptime!(target * shares + k);
                    sums[sum] = fma(x[0], weight, sums[sum]);
                }
            }
        }
    }
}
