//! What happens to the sums of a tile, in registers, before they are stored.

use super::axis::Tile;
use super::convolve::{Geometry, TileRow};
use super::multiplier::{Channels, weave};
use super::plan::Blueprint;
use crate::affine::{Epilogue, Operands, apply};
use crate::lanes::{load, store};
use cubecl::prelude::*;

/// Applies the epilogue to the targets of a tile that exist, and stores them.
#[cube]
pub(super) fn store_tile<S: Float, F: Float, B: Size, N: Size>(
    target: &mut [Vector<S, B>],
    operands: &Operands<S, F, B>,
    sums: &Array<Vector<F, N>>,
    geometry: &Geometry,
    tile_row: &TileRow,
    tile: &Tile,
    channel_offsets: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] epilogue: Epilogue,
    #[comptime] guarded: bool,
) {
    let width = N::value().comptime();
    #[unroll]
    for row in 0..plan.rows {
        let mut row_exists = true.runtime();
        if comptime!(row > 0) {
            row_exists = row < tile_row.rows;
        }
        if row_exists {
            let first = tile_row.target + row * geometry.horizontal.target + tile.target;
            #[unroll]
            for i in 0..plan.tile {
                let mut exists = true.runtime();
                if comptime!(guarded) {
                    exists = i >= tile.first && i < tile.last;
                }
                if exists {
                    let pixel = first + i;
                    let to = geometry.target.at(pixel);
                    if comptime!(plan.transposed) {
                        let channel = channel_offsets.narrow;
                        let sum = sums[comptime!(row * plan.tile + i)];
                        let value =
                            apply::<S, F, B, N, N>(sum, operands, pixel, channel, width, epilogue);
                        store::<S, F, B, N>(target, to + channel, value);
                    } else {
                        #[unroll]
                        for k in 0..shares {
                            let of_pixel = comptime!((row * plan.tile + i) * shares);
                            let channel = channel_offsets.wide + k * N::value();
                            let mut sum = weave::<F, N>(sums, of_pixel, k, shares);
                            if comptime!(epilogue.bias) {
                                sum += load::<S, F, B, N>(&operands.bias, channel);
                            }
                            let value = apply::<S, F, B, N, N>(
                                sum, operands, pixel, channel, width, epilogue,
                            );
                            store::<S, F, B, N>(target, to + channel, value);
                        }
                    }
                }
            }
        }
    }
}
