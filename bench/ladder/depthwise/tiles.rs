//! Rung 6: an item is a tile of four neighbouring outputs, whose sums are held in registers; on a CPU in all vectors of channels, one after
//! the other, on a GPU in one of them.
//!
//! **Predicted.** A tile loads 18 inputs and 9 weights for 4 outputs: 7 loads each where rung 5 has 3. But pixels are outside and channels inside
//! again, so a CPU walks memory in its own order, and the hardware fetches what comes next. Four sums do not wait for one another. Whether
//! a column lies inside is asked in the tiles at the sides alone: the tile is compiled with and without guards.

use super::{Map, map};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

/// Outputs of a tile.
const TILE: usize = 4;

/// `each` vectors belong to an item.
#[cube(launch_unchecked)]
fn tiles<N: Size>(
    x: &[Vector<f32, N>],
    w: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    map: Map,
    each: usize,
    run: usize,
) {
    let (across, parts) = ((map.w + TILE - 1) / TILE, (map.c + each - 1) / each);
    let first = ABSOLUTE_POS * run;
    for item in first..min(first + run, map.pixels / map.w * across * parts) {
        let (block, start) = (item / parts, item % parts * each);
        let (row, column) = (block / across, block % across * TILE);
        let above = row % map.h;
        for v in start..min(start + each, map.c) {
            if column >= 1 && column + TILE < map.w {
                tile::<N>(x, w, y, &map, row, above, column, v, false);
            } else {
                tile::<N>(x, w, y, &map, row, above, column, v, true);
            }
        }
    }
}

/// The outputs from `column` on, as far as there are any, of the row that has so many `above` it in its image.
#[cube]
fn tile<N: Size>(
    x: &[Vector<f32, N>],
    w: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    map: &Map,
    row: usize,
    above: usize,
    column: usize,
    v: usize,
    #[comptime] guarded: bool,
) {
    let mut sums = Array::<Vector<f32, N>>::new(TILE);
    #[unroll]
    for i in 0..TILE {
        sums[i] = Vector::new(0.0f32);
    }
    #[unroll]
    for ky in 0..3 {
        if above + ky >= 1 && above + ky < map.h + 1 {
            let from = (row + ky - 1) * map.w + column;
            #[unroll]
            for i in 0..TILE + 2 {
                if comptime!(guarded) {
                    if column + i >= 1 && column + i < map.w + 1 {
                        add::<N>(x[(from + i - 1) * map.c + v], w, &mut sums, ky, i, map.c, v);
                    }
                } else {
                    add::<N>(x[(from + i - 1) * map.c + v], w, &mut sums, ky, i, map.c, v);
                }
            }
        }
    }
    #[unroll]
    for i in 0..TILE {
        let to = (row * map.w + column + i) * map.c + v;
        if comptime!(guarded) {
            if column + i < map.w {
                y[to] = sums[i];
            }
        } else {
            y[to] = sums[i];
        }
    }
}

/// Adds an input, the `i`-th from one left of the tile on, to the outputs that read it.
#[cube]
fn add<N: Size>(
    value: Vector<f32, N>,
    w: &[Vector<f32, N>],
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] ky: usize,
    #[comptime] i: usize,
    channels: usize,
    v: usize,
) {
    #[unroll]
    for kx in 0..3usize {
        if comptime!(i >= kx && i - kx < TILE) {
            let output = comptime!(i - kx);
            sums[output] = fma(value, w[(ky * 3 + kx) * channels + v], sums[output]);
        }
    }
}

pub(super) fn launch(x: &Tensor, w: &Tensor, y: &Tensor) {
    let width = grids::width(x.client(), x.dtype(), x.shape()[3]);
    let (client, vectors) = (x.client(), x.shape()[3] / width);
    let each = if grids::is_cpu(client) { vectors } else { 1 };
    let rows = x.shape()[0] * x.shape()[1];
    let grid = grids::grid(client, rows * x.shape()[2].div_ceil(TILE) * vectors / each);
    let [from, weight, to] = [x, w, y].map(|tensor| tensor.arg(width));
    // SAFETY: the map is `x`'s in vectors, `y` has its shape, and guards ask what lies inside wherever a tile reaches past a side.
    unsafe {
        let (count, dim, map) = (grid.count, grid.dim, map(x, width));
        tiles::launch_unchecked(
            client, count, dim, width, from, weight, to, map, each, grid.run,
        );
    }
}
