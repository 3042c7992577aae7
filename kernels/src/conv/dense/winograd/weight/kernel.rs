use super::super::tiles::{Tiles, stage_grad, stage_tile};
use crate::matmul::panels::add_products;
use crate::planted;
use crate::prologue::{Entrance, Prologue};
use cubecl::prelude::*;

/// One unit owns a run of (partial sum, part of the input channels): block by block it transforms inputs and gradients, and adds their
/// products, point by point, to the partial sum `[points, ci, pitch]`.
#[cube(launch_unchecked)]
pub(super) fn weight_partial_sums<S: Float, F: Float, B: Size, N: Size, C: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    partials: &mut [Vector<F, N>],
    inputs: &mut [F],
    grads: &mut [Vector<F, N>],
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    map: Tiles,
    tiles: usize,
    in_channels: usize,
    out_channels: usize,
    out_vectors: usize,
    block: usize,
    blocks: usize,
    input_pitch: usize,
    partial_count: usize,
    splits: usize,
    run: usize,
    #[comptime] outputs: usize,
    #[comptime] taps: usize,
    #[comptime] vectors: usize,
    #[comptime] prologue: Prologue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let side = comptime!(outputs + 2);
    let points = comptime!(side * side);
    let groups = (out_vectors + comptime!(vectors - 1)) / vectors;
    let pitch = groups * vectors;
    let rows = (in_channels + comptime!(taps - 1)) / taps;
    let per_split = (rows + splits - 1) / splits;
    // Planes a power of two apart would share the sets of a cache.
    let input_plane = block * input_pitch + 16;
    let grad_plane = block * pitch + 1;
    let input = ABSOLUTE_POS * input_plane * points;
    let panel = ABSOLUTE_POS * grad_plane * points;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count * splits);
    for index in first..last {
        let partial = index / splits;
        let first_row = min(index % splits * per_split, rows);
        let last_row = min(first_row + per_split, rows);
        let first_channel = first_row * taps;
        let last_channel = min(last_row * taps, in_channels);
        let out = partial * points * in_channels * pitch;
        // A partial sum without a tile is still written.
        for point in 0..points {
            let plane = out + point * in_channels * pitch;
            for i in first_channel * pitch..last_channel * pitch {
                partials[plane + i] = Vector::new(F::new(0.0f32));
            }
        }
        let from = min(partial * blocks * block, tiles);
        let to = min(from + blocks * block, tiles);
        for item in 0..(to - from + block - 1) / block {
            let first_tile = from + item * block;
            let count = min(block, to - first_tile);
            for tile in 0..count {
                let corner = map.corner(first_tile + tile, outputs);
                stage_tile::<S, F, B, C>(
                    x,
                    inputs,
                    input + tile * input_pitch,
                    input_plane,
                    &corner,
                    &map,
                    in_channels,
                    first_channel / C::value(),
                    (last_channel + C::value() - 1) / C::value(),
                    &entrance,
                    side,
                    prologue,
                );
                stage_grad::<S, F, B, N>(
                    grad,
                    grads,
                    panel + tile * vectors,
                    grad_plane,
                    block * vectors,
                    &corner,
                    &map,
                    out_channels,
                    groups,
                    vectors,
                    outputs,
                );
            }
            let used = comptime!(planted::or(
                "winograd_weight_without_the_last_point",
                points,
                points - 1
            ));
            for point in 0..used {
                for group in 0..groups {
                    for row in first_row..last_row {
                        let channel = row * taps;
                        add_products::<F, N>(
                            &*inputs,
                            input + point * input_plane + channel,
                            input_pitch,
                            &*grads,
                            panel + point * grad_plane + group * block * vectors,
                            count,
                            partials,
                            out + (point * in_channels + channel) * pitch + group * vectors,
                            pitch,
                            min(taps, in_channels - channel),
                            taps,
                            vectors,
                        );
                    }
                }
            }
        }
    }
}
