use super::super::tiles::Tiles;
use super::super::transform::transform_back;
use crate::cascade::sum_of;
use crate::lanes::{channel, load, store};
use crate::planted;
use crate::prologue::{Entrance, Prologue, enter_one};
use cubecl::prelude::*;

/// Adds the partial sums, transforms them back to the nine taps, and stores these. One unit owns a run of input channels.
///
/// What is not finite in an operand reaches some tap of each pair of channels that it meets, and would reach others than the sum itself has
/// it in, as would a transform that overflows: such a vector of the weight is summed directly.
#[cube(launch_unchecked)]
pub(super) fn finish_weight<S: Float, F: Float, B: Size, N: Size>(
    partials: &[Vector<F, N>],
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    map: Tiles,
    batch: usize,
    in_channels: usize,
    out_channels: usize,
    out_vectors: usize,
    pitch: usize,
    partial_count: usize,
    run: usize,
    #[comptime] outputs: usize,
    #[comptime] prologue: Prologue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let side = comptime!(outputs + 2);
    let points = comptime!(side * side);
    let plane = in_channels * pitch;
    let first = ABSOLUTE_POS * run;
    for i in first..min(first + run, in_channels) {
        for v in 0..out_vectors {
            let c = channel::<N>(v, out_channels);
            let mut sums = Array::<Vector<F, N>>::new(points);
            #[unroll]
            for point in 0..points {
                let at = point * plane + i * pitch + v;
                sums[point] = sum_of::<F, F, N>(partials, at, points * plane, partial_count);
            }
            let taps = transform_back::<F, N>(&sums, side);
            let mut total = Vector::<F, N>::new(F::new(0.0f32));
            #[unroll]
            for tap in 0..9usize {
                total += taps[tap];
            }
            // Neither a NaN nor an infinity is lost in a sum; one that overflows by itself costs time, no more.
            let finite = total.vector_sum().abs() <= F::max_value();
            if finite || comptime!(planted::is("winograd_weight_keeps_what_is_not_finite")) {
                #[unroll]
                for tap in 0..9usize {
                    let at = (tap * in_channels + i) * out_channels + c;
                    store::<S, F, B, N>(out, at, taps[tap]);
                }
            } else {
                for tap in 0..9usize {
                    let sum = sum_directly::<S, F, B, N>(
                        x,
                        grad,
                        &map,
                        batch,
                        tap,
                        i,
                        in_channels,
                        c,
                        out_channels,
                        &entrance,
                        prologue,
                    );
                    let at = (tap * in_channels + i) * out_channels + c;
                    store::<S, F, B, N>(out, at, sum);
                }
            }
        }
    }
}

/// The sum of all products of one tap, padding included: over columns, then rows, then images.
#[cube]
fn sum_directly<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    map: &Tiles,
    batch: usize,
    tap: usize,
    in_channel: usize,
    in_channels: usize,
    out_channel: usize,
    out_channels: usize,
    entrance: &Entrance<F, B>,
    #[comptime] prologue: Prologue,
) -> Vector<F, N> {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for image in 0..batch {
        let mut of_image = Vector::<F, N>::new(F::new(0.0f32));
        for row in 0..map.target_h {
            let mut of_row = Vector::<F, N>::new(F::new(0.0f32));
            let r = row + tap / 3;
            let is_row = r >= map.up && r < map.source_h + map.up;
            for column in 0..map.target_w {
                let c = column + tap % 3;
                let mut value = F::new(0.0f32);
                if is_row && c >= map.left && c < map.source_w + map.left {
                    let pixel = (image * map.source_h + r - map.up) * map.source_w + c - map.left;
                    value = F::cast_from(x[pixel * in_channels + in_channel].extract(0usize));
                    value = enter_one::<S, F, B>(value, entrance, in_channel, prologue);
                }
                let pixel = (image * map.target_h + row) * map.target_w + column;
                let g = load::<S, F, B, N>(grad, pixel * out_channels + out_channel);
                of_row = fma(Vector::new(value), g, of_row);
            }
            of_image += of_row;
        }
        sum += of_image;
    }
    sum
}
