//! What happens to the sums of a tile, in registers, before they are stored.

use super::axis::Tile;
use super::convolve::{Geometry, TileRow};
use super::multiplier::{Channels, weave};
use super::plan::Blueprint;
use crate::clamp::relu;
use crate::lanes::{load, store};
use cubecl::prelude::*;

/// What is done to a value before it is stored, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Epilogue {
    pub bias: bool,
    pub affine: bool,
    pub plus: bool,
    pub relu: bool,
}

/// What the epilogue reads, as one kernel argument; a buffer that it has no use for may be any.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Operands<S: Float, F: Float, B: Size> {
    /// Of each output channel.
    pub bias: Box<[Vector<S, B>]>,
    pub centre: Box<[Vector<F, B>]>,
    pub scale: Box<[Vector<F, B>]>,
    pub shift: Box<[Vector<F, B>]>,
    /// Of the target's shape: the residual, or what already arrived at the input.
    pub plus: Box<[Vector<S, B>]>,
}

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
                    let with = geometry.plus.at(pixel);
                    if comptime!(plan.transposed) {
                        let mut value = sums[comptime!(row * plan.tile + i)];
                        if comptime!(epilogue.plus) {
                            value +=
                                load::<S, F, B, N>(&operands.plus, with + channel_offsets.narrow);
                        }
                        store::<S, F, B, N>(target, to + channel_offsets.narrow, value);
                    } else {
                        #[unroll]
                        for k in 0..shares {
                            let of_pixel = comptime!((row * plan.tile + i) * shares);
                            let value = weave::<F, N>(sums, of_pixel, k, shares);
                            let channel = channel_offsets.wide + k * N::value();
                            let value =
                                applied::<S, F, B, N>(value, operands, with, channel, epilogue);
                            store::<S, F, B, N>(target, to + channel, value);
                        }
                    }
                }
            }
        }
    }
}

/// `value`, of the output channels from `channel` on, after the epilogue of a forward pass.
#[cube]
fn applied<S: Float, F: Float, B: Size, N: Size>(
    value: Vector<F, N>,
    operands: &Operands<S, F, B>,
    with: usize,
    channel: usize,
    #[comptime] epilogue: Epilogue,
) -> Vector<F, N> {
    let mut value = value;
    if comptime!(epilogue.bias) {
        value += load::<S, F, B, N>(&operands.bias, channel);
    }
    if comptime!(epilogue.affine) {
        let centred = value - load::<F, F, B, N>(&operands.centre, channel);
        let shift = load::<F, F, B, N>(&operands.shift, channel);
        value = fma(centred, load::<F, F, B, N>(&operands.scale, channel), shift);
    }
    if comptime!(epilogue.plus) {
        value += load::<S, F, B, N>(&operands.plus, with + channel);
    }
    if comptime!(epilogue.relu) {
        value = relu::<F, N>(value);
    }
    value
}
