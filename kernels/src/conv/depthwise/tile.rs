//! The sums of one tile: unrolled over neighbouring targets, or tap by tap.

use super::axis::{Tile, Walk};
use super::convolve::{Geometry, Row};
use super::plan::Blueprint;
use super::spread::{Channels, load_apart};
use cubecl::prelude::*;

/// Adds the products of a tile, a source row at a time, to `sums`: each source vector is loaded once for all targets of a tile
/// inside of the image that read it. `guarded` where the tile reaches past a side edge.
#[cube]
pub(super) fn unrolled<F: Float, B: Size, N: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    sums: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    place: &Row,
    tile: &Tile,
    at: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] guarded: bool,
) {
    let lines = &place.lines;
    let step = geometry.channels * geometry.multiplier;
    let tap_step = lines.tap_step * plan.kernel * step;
    let line_step = lines.step * geometry.horizontal.source * geometry.source.pitch;
    let line = (place.line + lines.first) * geometry.horizontal.source + tile.source;
    let mut start = geometry.source.at(line);
    if comptime!(plan.transposed) {
        start += at.wide;
    } else {
        start += at.narrow;
    }
    let mut upper = lines.upper.tap * plan.kernel * step + at.wide;
    let mut lower = lines.lower.tap * plan.kernel * step + at.wide;
    // Two rows of targets take a source row from registers, as far as its columns are known to exist.
    let ahead = comptime!(plan.rows > 1 && !guarded);
    let held = comptime!(if ahead { plan.sources() } else { 1 });
    for i in 0..lines.count {
        let mut row = Array::<Vector<F, N>>::new(held);
        if comptime!(ahead) {
            #[unroll]
            for p in 0..held {
                if comptime!(plan.reads(p)) {
                    load_apart::<F, B, N>(
                        source,
                        start + p * geometry.source.pitch,
                        &mut row,
                        p,
                        1usize,
                    );
                }
            }
        }
        if comptime!(plan.rows == 1) {
            kernel_row::<F, B, N>(
                source, weight, &row, sums, geometry, tile, start, upper, step, plan, shares,
                guarded, 0usize,
            );
            upper = next(upper, tap_step, plan.transposed);
        } else {
            if i >= lines.upper.begin && i < lines.upper.end {
                kernel_row::<F, B, N>(
                    source, weight, &row, sums, geometry, tile, start, upper, step, plan, shares,
                    guarded, 0usize,
                );
                upper = next(upper, tap_step, plan.transposed);
            }
            if i >= lines.lower.begin && i < lines.lower.end {
                kernel_row::<F, B, N>(
                    source, weight, &row, sums, geometry, tile, start, lower, step, plan, shares,
                    guarded, 1usize,
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
fn kernel_row<F: Float, B: Size, N: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    row: &Array<Vector<F, N>>,
    sums: &mut Array<Vector<F, N>>,
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
        load_apart::<F, B, N>(
            weight,
            tap + k * step,
            &mut taps,
            comptime!(k * shares),
            shares,
        );
    }
    if comptime!(plan.rows > 1 && !guarded) {
        // One weight at a time, as the sources fill the registers.
        #[unroll]
        for k in 0..kernel {
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
                        column::<F, B, N>(source, &taps, sums, pixel, plan, shares, of_tile, p);
                    }
                } else {
                    column::<F, B, N>(source, &taps, sums, pixel, plan, shares, of_tile, p);
                }
            }
        }
    }
}

/// Loads source place `p` of a tile and adds its products to the sums of one of the tile's rows.
#[cube]
fn column<F: Float, B: Size, N: Size>(
    source: &[Vector<F, B>],
    taps: &Array<Vector<F, N>>,
    sums: &mut Array<Vector<F, N>>,
    pixel: usize,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] of_tile: usize,
    #[comptime] p: usize,
) {
    let read = comptime!(if plan.transposed { shares } else { 1 });
    let mut x = Array::<Vector<F, N>>::new(read);
    load_apart::<F, B, N>(source, pixel, &mut x, 0usize, read);
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

/// Adds the products of one target, tap by tap, to the sums of its shares; chains of sums hide the latency of a long kernel row.
#[cube]
pub(super) fn walked<F: Float, B: Size, N: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    sums: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    place: &Row,
    columns: &Walk,
    at: &Channels,
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
    let lines = &place.lines;
    let even = columns.taps - columns.taps % chains;
    for j in 0..lines.count {
        let row = (place.line + lines.first + j * lines.step) * geometry.horizontal.source;
        let mut tap = lines.upper.tap + j * lines.tap_step;
        if comptime!(transposed) {
            tap = lines.upper.tap - j * lines.tap_step;
        }
        let tap = tap * geometry.horizontal.kernel;
        for block in 0..even / chains {
            #[unroll]
            for i in 0..chains {
                let k = block * chains + i;
                product::<F, B, N>(
                    source, weight, &mut chain, geometry, columns, at, row, tap, k, i, shares,
                    transposed,
                );
            }
        }
        for k in even..columns.taps {
            product::<F, B, N>(
                source, weight, &mut chain, geometry, columns, at, row, tap, k, 0usize, shares,
                transposed,
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
fn product<F: Float, B: Size, N: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    chain: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    columns: &Walk,
    at: &Channels,
    row: usize,
    tap: usize,
    k: usize,
    #[comptime] i: usize,
    #[comptime] shares: usize,
    #[comptime] transposed: bool,
) {
    let column = geometry.horizontal.source_at(columns, k, transposed);
    let tap = tap + geometry.horizontal.tap_at(columns, k, transposed);
    let pixel = geometry.source.at(row + column);
    let wide_channels = geometry.channels * geometry.multiplier;
    let mut taps = Array::<Vector<F, N>>::new(shares);
    let weights = tap * wide_channels + at.wide;
    load_apart::<F, B, N>(weight, weights, &mut taps, 0usize, shares);
    let read = comptime!(if transposed { shares } else { 1 });
    let mut x = Array::<Vector<F, N>>::new(read);
    let first = if comptime!(transposed) {
        pixel + at.wide
    } else {
        pixel + at.narrow
    };
    load_apart::<F, B, N>(source, first, &mut x, 0usize, read);
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
