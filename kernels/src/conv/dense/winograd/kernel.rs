use super::output::finish_tile;
use super::tiles::{Tiles, stage_tile};
use super::transform::transform_weight;
use crate::affine::{Epilogue, Operands};
use crate::lanes::{View, channel, load};
use crate::prologue::{Entrance, Prologue};
use cubecl::prelude::*;

/// One unit owns a run of (block of tiles, part of the channels' groups): it transforms the block's inputs, and for each group
/// transforms the weight, multiplies point by point, and transforms back.
#[cube(launch_unchecked)]
pub(super) fn winograd<S: Float, F: Float, B: Size, N: Size, C: Size>(
    x: &[Vector<S, B>],
    weight: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    inputs: &mut [F],
    panels: &mut [Vector<F, N>],
    sums: &mut [Vector<F, N>],
    places: &mut [u32],
    operands: Operands<S, F, B>,
    entrance: Entrance<F, B>,
    _unaligned: &[S],
    y_view: View,
    map: Tiles,
    tiles: usize,
    in_channels: usize,
    out_channels: usize,
    out_vectors: usize,
    block: usize,
    splits: usize,
    plane: usize,
    most_tiles: usize,
    run: usize,
    #[comptime] outputs: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
    #[comptime] prologue: Prologue,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let side = comptime!(outputs + 2);
    let points = comptime!(side * side);
    let groups = (out_vectors + comptime!(vectors - 1)) / vectors;
    let per_split = (groups + splits - 1) / splits;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, (tiles + block - 1) / block * splits);
    let input = ABSOLUTE_POS * plane * points;
    let panel_plane = in_channels * vectors + 1;
    let panel = ABSOLUTE_POS * panel_plane * points;
    let place = ABSOLUTE_POS * most_tiles;
    let sum_plane = most_tiles * vectors + 1;
    let sum = ABSOLUTE_POS * sum_plane * points;
    for item in first..last {
        let first_tile = item / splits * block;
        let count = min(block, tiles - first_tile);
        let first_group = item % splits * per_split;
        let last_group = min(first_group + per_split, groups);
        // The parts of one block follow each other: they share its inputs.
        if item == first || first_group == 0 {
            for tile in 0..most_tiles {
                places[place + tile] = (min(tile, count - 1) * in_channels) as u32;
            }
            for tile in 0..count {
                let corner = map.corner(first_tile + tile, outputs);
                let to = input + tile * in_channels;
                stage_tile::<S, F, B, C>(
                    x,
                    inputs,
                    to,
                    plane,
                    &corner,
                    &map,
                    in_channels,
                    0usize.runtime(),
                    (in_channels + C::value() - 1) / C::value(),
                    &entrance,
                    side,
                    prologue,
                );
            }
        }
        for group in first_group..last_group {
            for i in 0..in_channels {
                for o in 0..vectors {
                    let c = channel::<N>(group * vectors + o, out_channels);
                    let mut taps = Array::<Vector<F, N>>::new(9usize);
                    #[unroll]
                    for tap in 0..9usize {
                        let row = tap * in_channels + i;
                        taps[tap] = load::<S, F, B, N>(weight, row * out_channels + c);
                    }
                    let transformed = transform_weight::<F, N>(&taps, side);
                    #[unroll]
                    for point in 0..points {
                        panels[panel + point * panel_plane + i * vectors + o] = transformed[point];
                    }
                }
            }
            for point in 0..points {
                for tile in 0..(count + comptime!(rows - 1)) / rows {
                    multiply::<F, N>(
                        &*inputs,
                        input + point * plane,
                        &*places,
                        place + tile * rows,
                        &*panels,
                        panel + point * panel_plane,
                        in_channels,
                        sums,
                        sum + point * sum_plane + tile * rows * vectors,
                        rows,
                        vectors,
                    );
                }
            }
            for tile in 0..count {
                let corner = map.corner(first_tile + tile, outputs);
                for o in 0..vectors {
                    finish_tile::<S, F, B, N>(
                        x,
                        weight,
                        y,
                        &*sums,
                        sum + tile * vectors + o,
                        sum_plane,
                        &operands,
                        &entrance,
                        &y_view,
                        &corner,
                        &map,
                        in_channels,
                        out_channels,
                        channel::<N>(group * vectors + o, out_channels),
                        outputs,
                        prologue,
                        epilogue,
                    );
                }
            }
        }
    }
}

/// The products of `rows` tiles, whose inputs start where `places` says, with a panel of `depth` rows of `vectors` vectors.
#[cube]
fn multiply<F: Float, N: Size>(
    inputs: &[F],
    input: usize,
    places: &[u32],
    place: usize,
    panels: &[Vector<F, N>],
    panel: usize,
    depth: usize,
    sums: &mut [Vector<F, N>],
    sum: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
) {
    let mut acc = Array::<Vector<F, N>>::new(rows * vectors);
    let mut starts = Array::<usize>::new(rows);
    #[unroll]
    for i in 0..rows {
        starts[i] = input + places[place + i] as usize;
    }
    #[unroll]
    for i in 0..rows * vectors {
        acc[i] = Vector::new(F::new(0.0f32));
    }
    for q in 0..depth {
        let mut wv = Array::<Vector<F, N>>::new(vectors);
        #[unroll]
        for o in 0..vectors {
            wv[o] = panels[panel + q * vectors + o];
        }
        #[unroll]
        for i in 0..rows {
            let xv = Vector::<F, N>::cast_from(inputs[starts[i] + q]);
            #[unroll]
            for o in 0..vectors {
                acc[i * vectors + o] = fma(xv, wv[o], acc[i * vectors + o]);
            }
        }
    }
    #[unroll]
    for i in 0..rows * vectors {
        sums[sum + i] = acc[i];
    }
}
