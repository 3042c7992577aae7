//! From products at points back to outputs, and what follows them.

use super::tiles::{Corner, Tiles};
use super::transform::transform_output;
use crate::affine::{Epilogue, Operands, apply};
use crate::lanes::{View, load, store};
use crate::planted;
use crate::prologue::{Entrance, Prologue, enter_one};
use cubecl::prelude::*;

/// Transforms a tile's sums back, `plane` vectors apart from `from` on, and stores its outputs from `channel` on.
///
/// What is not finite in an operand reaches some output of each tile that reads it, and would reach others than the sum itself has it in, as
/// would a transform that overflows: such a tile is summed directly.
#[cube]
pub(super) fn finish_tile<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    sums: &[Vector<F, N>],
    from: usize,
    plane: usize,
    operands: &Operands<S, F, B>,
    entrance: &Entrance<F, B>,
    y_view: &View,
    corner: &Corner,
    map: &Tiles,
    in_channels: usize,
    out_channels: usize,
    channel: usize,
    #[comptime] outputs: usize,
    #[comptime] prologue: Prologue,
    #[comptime] epilogue: Epilogue,
) {
    let side = comptime!(outputs + 2);
    let mut values = Array::<Vector<F, N>>::new(comptime!(side * side));
    #[unroll]
    for point in 0..comptime!(side * side) {
        values[point] = sums[from + point * plane];
    }
    transform_output::<F, N>(&mut values, side);
    let mut total = Vector::<F, N>::new(F::new(0.0f32));
    #[unroll]
    for i in 0..outputs {
        #[unroll]
        for j in 0..outputs {
            total += values[comptime!(i * side + j)];
        }
    }
    // Neither a NaN nor an infinity is lost in a sum; one that overflows by itself costs time, no more.
    let finite = total.vector_sum().abs() <= F::max_value();
    let first = (corner.image * map.target_h + corner.row) * map.target_w + corner.column;
    if finite || comptime!(planted::is("winograd_keeps_what_is_not_finite")) {
        #[unroll]
        for i in 0..outputs {
            #[unroll]
            for j in 0..outputs {
                if corner.row + i < map.target_h && corner.column + j < map.target_w {
                    let pixel = first + i * map.target_w + j;
                    let value = values[comptime!(i * side + j)];
                    write::<S, F, B, N>(y, value, operands, y_view, pixel, channel, epilogue);
                }
            }
        }
    } else {
        for output in 0..outputs * outputs {
            let (i, j) = (output / outputs, output % outputs);
            let (row, column) = (corner.row + i, corner.column + j);
            if row < map.target_h && column < map.target_w {
                let pixel = first + i * map.target_w + j;
                let value = sum_directly::<S, F, B, N>(
                    x,
                    weight,
                    corner.image,
                    row,
                    column,
                    map,
                    in_channels,
                    out_channels,
                    channel,
                    entrance,
                    prologue,
                );
                write::<S, F, B, N>(y, value, operands, y_view, pixel, channel, epilogue);
            }
        }
    }
}

/// The sum of all products of one pixel, padding included, in the order of the direct kernels.
#[cube]
fn sum_directly<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    image: usize,
    row: usize,
    column: usize,
    map: &Tiles,
    in_channels: usize,
    out_channels: usize,
    channel: usize,
    entrance: &Entrance<F, B>,
    #[comptime] prologue: Prologue,
) -> Vector<F, N> {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for tap in 0..9usize {
        let (r, c) = (row + tap / 3, column + tap % 3);
        let inside = r >= map.up
            && r < map.source_h + map.up
            && c >= map.left
            && c < map.source_w + map.left;
        for i in 0..in_channels {
            let mut value = F::new(0.0f32);
            if inside {
                let pixel = (image * map.source_h + r - map.up) * map.source_w + c - map.left;
                value = F::cast_from(x[pixel * in_channels + i].extract(0usize));
                value = enter_one::<S, F, B>(value, entrance, i, prologue);
            }
            let offset = (tap * in_channels + i) * out_channels + channel;
            sum = fma(Vector::new(value), load::<S, F, B, N>(weight, offset), sum);
        }
    }
    sum
}

/// Applies what follows the convolution and stores the value.
#[cube]
fn write<S: Float, F: Float, B: Size, N: Size>(
    y: &mut [Vector<S, B>],
    value: Vector<F, N>,
    operands: &Operands<S, F, B>,
    y_view: &View,
    pixel: usize,
    channel: usize,
    #[comptime] epilogue: Epilogue,
) {
    let width = N::value().comptime();
    let value = apply::<S, F, B, N, N>(value, operands, pixel, channel, width, epilogue);
    store::<S, F, B, N>(y, y_view.at(pixel) + channel, value);
}
