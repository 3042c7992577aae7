//! The sums of targets whose taps are walked one by one: kernel rows too long to unroll, and strides that few models have.

use super::axis::{Tile, Walk};
use super::convolve::{Geometry, TileRow};
use super::multiplier::{Channels, load_apart};
use super::plan::Blueprint;
use crate::lanes::load;
use crate::prologue::{Entrance, enter};
use cubecl::prelude::*;

/// Adds the products of neighbouring targets, tap by tap: a weight is loaded once for all of them, and only a tap that leads some
/// of them past a side edge asks which columns exist.
#[cube]
pub(super) fn swept<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    sums: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    tile: &Tile,
    channel_offsets: &Channels,
    #[comptime] plan: Blueprint,
) {
    let (axis, lines) = (&geometry.horizontal, &tile_row.lines);
    let wide_channels = geometry.channels * geometry.multiplier;
    // In padded columns, where nothing is negative; a transposed sweep meets the last tap first.
    let mut from = tile.target * axis.stride;
    let mut lead = axis.padding;
    let mut channel = channel_offsets.narrow;
    if comptime!(plan.transposed) {
        from = tile.target + axis.padding;
        lead = (axis.kernel - 1) * axis.dilation;
        channel = channel_offsets.wide;
    }
    let end = lead + axis.source;
    for j in 0..lines.count {
        let row = (tile_row.line + lines.first + j * lines.step) * axis.source;
        let mut tap = (lines.upper.tap + j * lines.tap_step) * axis.kernel;
        if comptime!(plan.transposed) {
            tap = (lines.upper.tap - j * lines.tap_step + 1) * axis.kernel - 1;
        }
        let mut column = from;
        let mut weights = tap * wide_channels + channel_offsets.wide;
        for _ in 0..axis.kernel {
            let taps = load::<S, F, B, N>(weight, weights);
            let start = geometry.source.at(row + column - lead) + channel;
            let step = axis.stride * geometry.source.pitch;
            if column >= lead && column + (plan.tile - 1) * axis.stride < end {
                #[unroll]
                for i in 0..plan.tile {
                    let x = load::<S, F, B, N>(source, start + i * step);
                    let x = enter::<S, F, B, N>(
                        x,
                        entrance,
                        channel_offsets.narrow,
                        comptime!(plan.prologue),
                    );
                    sums[i] = fma(x, taps, sums[i]);
                }
            } else {
                #[unroll]
                for i in 0..plan.tile {
                    let column = column + i * axis.stride;
                    if column >= lead && column < end {
                        let x = load::<S, F, B, N>(source, start + i * step);
                        let x = enter::<S, F, B, N>(
                            x,
                            entrance,
                            channel_offsets.narrow,
                            comptime!(plan.prologue),
                        );
                        sums[i] = fma(x, taps, sums[i]);
                    }
                }
            }
            column += axis.dilation;
            if comptime!(plan.transposed) {
                weights -= wide_channels;
            } else {
                weights += wide_channels;
            }
        }
    }
}

/// Adds the products of one target, tap by tap, to the sums of its shares; chains of sums hide the latency of a long kernel row.
#[cube]
pub(super) fn walked<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    sums: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    columns: &Walk,
    channel_offsets: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
) {
    let transposed = comptime!(plan.transposed);
    let results = comptime!(if transposed { 1 } else { shares });
    let chains = comptime!(if results == 1 { 4 } else { 1 });
    let mut chain = Array::<Vector<F, N>>::new(comptime!(chains * results));
    #[unroll]
    for i in 0..comptime!(chains * results) {
        chain[i] = Vector::new(F::new(0.0f32));
    }
    let lines = &tile_row.lines;
    let even = columns.taps - columns.taps % chains;
    for j in 0..lines.count {
        let row = (tile_row.line + lines.first + j * lines.step) * geometry.horizontal.source;
        let mut tap = lines.upper.tap + j * lines.tap_step;
        if comptime!(transposed) {
            tap = lines.upper.tap - j * lines.tap_step;
        }
        let tap = tap * geometry.horizontal.kernel;
        for block in 0..even / chains {
            #[unroll]
            for i in 0..chains {
                let k = block * chains + i;
                product::<S, F, B, N>(
                    source,
                    weight,
                    &mut chain,
                    entrance,
                    geometry,
                    columns,
                    channel_offsets,
                    row,
                    tap,
                    k,
                    i,
                    shares,
                    plan,
                );
            }
        }
        for k in even..columns.taps {
            product::<S, F, B, N>(
                source,
                weight,
                &mut chain,
                entrance,
                geometry,
                columns,
                channel_offsets,
                row,
                tap,
                k,
                0usize,
                shares,
                plan,
            );
        }
    }
    if comptime!(chains == 4) {
        sums[0] += (chain[0] + chain[1]) + (chain[2] + chain[3]);
    } else {
        #[unroll]
        for k in 0..results {
            sums[k] += chain[k];
        }
    }
}

/// Adds the products of the `k`-th tap of a kernel row to chain `i`.
#[cube]
fn product<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    chain: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    columns: &Walk,
    channel_offsets: &Channels,
    row: usize,
    tap: usize,
    k: usize,
    #[comptime] i: usize,
    #[comptime] shares: usize,
    #[comptime] plan: Blueprint,
) {
    let transposed = comptime!(plan.transposed);
    let column = geometry.horizontal.source_at(columns, k, transposed);
    let tap = tap + geometry.horizontal.tap_at(columns, k, transposed);
    let pixel = geometry.source.at(row + column);
    let wide_channels = geometry.channels * geometry.multiplier;
    let mut taps = Array::<Vector<F, N>>::new(shares);
    let weights = tap * wide_channels + channel_offsets.wide;
    load_apart::<S, F, B, N>(weight, weights, &mut taps, 0usize, shares);
    let read = comptime!(if transposed { shares } else { 1 });
    let mut x = Array::<Vector<F, N>>::new(read);
    let first = if comptime!(transposed) {
        pixel + channel_offsets.wide
    } else {
        pixel + channel_offsets.narrow
    };
    load_apart::<S, F, B, N>(source, first, &mut x, 0usize, read);
    let channel = channel_offsets.narrow;
    x[0] = enter::<S, F, B, N>(x[0], entrance, channel, comptime!(plan.prologue));
    #[unroll]
    for k in 0..shares {
        if comptime!(transposed) {
            chain[i] = fma(x[k], taps[k], chain[i]);
        } else {
            let sum = comptime!(i * shares + k);
            chain[sum] = fma(x[0], taps[k], chain[sum]);
        }
    }
}
