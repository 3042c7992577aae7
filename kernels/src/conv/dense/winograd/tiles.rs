//! Where the tiles of a map lie, and the transform of their inputs.

use super::transform::{transform_grad, transform_input};
use crate::lanes::{channel, load, store_unaligned};
use crate::planted;
use crate::prologue::{Entrance, Prologue, enter};
use cubecl::prelude::*;

/// A map cut into tiles of outputs, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Tiles {
    /// Sides of the map that is read.
    pub source_h: usize,
    pub source_w: usize,
    /// Sides of the map that is written.
    pub target_h: usize,
    pub target_w: usize,
    /// Tiles of an image, down and across.
    pub down: usize,
    pub across: usize,
    /// Rows and columns of zeros before the map that is read.
    pub up: usize,
    pub left: usize,
}

/// The first output of a tile.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Corner {
    pub image: usize,
    pub row: usize,
    pub column: usize,
}

#[cube]
impl Tiles {
    /// Where the tile of `outputs` by `outputs` outputs begins.
    pub fn corner(&self, tile: usize, #[comptime] outputs: usize) -> Corner {
        let line = tile / self.across;
        Corner {
            image: line / self.down,
            row: line % self.down * outputs,
            column: tile % self.across * outputs,
        }
    }
}

/// Transforms the inputs of a tile, through the prologue and zeros outside of the map, in the vectors `first..last` of its channels, to `inputs`: the points are
/// `plane` elements apart.
#[cube]
pub(super) fn stage_tile<S: Float, F: Float, B: Size, C: Size>(
    x: &[Vector<S, B>],
    inputs: &mut [F],
    to: usize,
    plane: usize,
    corner: &Corner,
    map: &Tiles,
    channels: usize,
    first: usize,
    last: usize,
    entrance: &Entrance<F, B>,
    #[comptime] side: usize,
    #[comptime] prologue: Prologue,
) {
    let inside = corner.row >= map.up
        && corner.row + side <= map.source_h + map.up
        && corner.column >= map.left
        && corner.column + side <= map.source_w + map.left;
    let image = corner.image * map.source_h;
    for v in first..last {
        let c = channel::<C>(v, channels);
        let mut tile = Array::<Vector<F, C>>::new(side * side);
        if inside {
            let row = image + corner.row - map.up;
            let from = (row * map.source_w + corner.column - map.left) * channels + c;
            #[unroll]
            for i in 0..side {
                #[unroll]
                for j in 0..side {
                    let offset = (i * map.source_w + j) * channels;
                    let value = load::<S, F, B, C>(x, from + offset);
                    tile[i * side + j] = enter::<S, F, B, C>(value, entrance, c, prologue);
                }
            }
        } else {
            #[unroll]
            for i in 0..side {
                let row = corner.row + i;
                let is_row = row >= map.up && row < map.source_h + map.up;
                #[unroll]
                for j in 0..side {
                    let column = corner.column + j;
                    let mut value = Vector::new(F::new(0.0f32));
                    if comptime!(planted::is("prologue_of_the_padding")) {
                        value = enter::<S, F, B, C>(value, entrance, c, prologue);
                    }
                    if is_row && column >= map.left && column < map.source_w + map.left {
                        let pixel = (image + row - map.up) * map.source_w + column - map.left;
                        value = load::<S, F, B, C>(x, pixel * channels + c);
                        value = enter::<S, F, B, C>(value, entrance, c, prologue);
                    }
                    tile[i * side + j] = value;
                }
            }
        }
        transform_input::<F, C>(&mut tile, side);
        #[unroll]
        for point in 0..comptime!(side * side) {
            store_unaligned::<F, F, C>(inputs, to + point * plane + c, tile[point]);
        }
    }
}

/// Transforms the gradients of a tile's outputs, zeros outside of the map, to `grads`, `step` vectors from group to group: the points are `plane`
/// vectors apart.
#[cube]
pub(super) fn stage_grad<S: Float, F: Float, B: Size, N: Size>(
    grad: &[Vector<S, B>],
    grads: &mut [Vector<F, N>],
    to: usize,
    plane: usize,
    step: usize,
    corner: &Corner,
    map: &Tiles,
    channels: usize,
    groups: usize,
    #[comptime] vectors: usize,
    #[comptime] outputs: usize,
) {
    let first = (corner.image * map.target_h + corner.row) * map.target_w + corner.column;
    for v in 0..groups * vectors {
        let c = channel::<N>(v, channels);
        let mut tile = Array::<Vector<F, N>>::new(outputs * outputs);
        #[unroll]
        for i in 0..outputs {
            #[unroll]
            for j in 0..outputs {
                let mut value = Vector::<F, N>::new(F::new(0.0f32));
                if corner.row + i < map.target_h && corner.column + j < map.target_w {
                    let pixel = first + i * map.target_w + j;
                    value = load::<S, F, B, N>(grad, pixel * channels + c);
                }
                tile[i * outputs + j] = value;
            }
        }
        let at_points = transform_grad::<F, N>(&tile, outputs);
        let at = to + v / vectors * step + v % vectors;
        #[unroll]
        for point in 0..comptime!((outputs + 2) * (outputs + 2)) {
            grads[at + point * plane] = at_points[point];
        }
    }
}
