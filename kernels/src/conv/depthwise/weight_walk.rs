//! What a whole row of outputs adds to the gradient of the weight where the taps are walked one by one.

use super::grad_weight::{Geometry, Kept, TERMS_IN_CHAIN, TileRow};
use super::multiplier::{Channels, load_apart};
use super::plan::Blueprint;
use super::weight_tile::products;
use crate::prologue::{Entrance, enter};
use cubecl::prelude::*;

/// Adds the products of a whole row of outputs to the sums, tap by tap, in chains that hide the latency.
#[cube]
pub(super) fn walked<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    sums: &mut [Vector<F, N>],
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    channel_offsets: &Channels,
    kept: &Kept,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] bias: bool,
) {
    let chains = comptime!(if shares == 1 { 4usize } else { 1 });
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let (stride, columns) = (geometry.horizontal.stride, geometry.horizontal.target);
    let kernel = geometry.horizontal.kernel;
    if comptime!(bias) {
        let taps = geometry.vertical.kernel * kernel;
        let to = kept.first + taps * shares * kept.step;
        bias_sums::<S, F, B, N>(
            grad,
            sums,
            geometry,
            tile_row,
            channel_offsets,
            kept,
            to,
            shares,
        );
    }
    let lines = &tile_row.lines;
    for j in 0..lines.count {
        let row = (tile_row.line + lines.first + j * lines.step) * geometry.horizontal.source;
        let tap = (lines.upper.tap + j) * kernel;
        for k in 0..kernel {
            // The outputs whose window has this tap inside of the image.
            let lead = k * geometry.horizontal.dilation;
            let padding = geometry.horizontal.padding;
            let before = max(padding, lead) - lead;
            let behind = max(padding + geometry.horizontal.source, lead) - lead;
            let stop = min((behind + stride - 1) / stride, columns);
            let start = min((before + stride - 1) / stride, stop);
            let first = row + lead - padding;
            let longest = comptime!(TERMS_IN_CHAIN);
            for part in 0..(stop - start + longest - 1) / longest {
                let start = start + part * longest;
                let stop = min(start + longest, stop);
                let mut chain = Array::<Vector<F, N>>::new(comptime!(chains * shares));
                #[unroll]
                for i in 0..comptime!(chains * shares) {
                    chain[i] = zero;
                }
                let even = stop - (stop - start) % chains;
                for block in 0..(even - start) / chains {
                    #[unroll]
                    for i in 0..chains {
                        let o = start + block * chains + i;
                        product::<S, F, B, N>(
                            x,
                            grad,
                            &mut chain,
                            entrance,
                            geometry,
                            tile_row,
                            channel_offsets,
                            first,
                            o,
                            i,
                            plan,
                            shares,
                        );
                    }
                }
                for o in even..stop {
                    product::<S, F, B, N>(
                        x,
                        grad,
                        &mut chain,
                        entrance,
                        geometry,
                        tile_row,
                        channel_offsets,
                        first,
                        o,
                        0usize,
                        plan,
                        shares,
                    );
                }
                let to = kept.first + (tap + k) * shares * kept.step;
                if comptime!(chains == 4) {
                    sums[to] += (chain[0] + chain[1]) + (chain[2] + chain[3]);
                } else {
                    #[unroll]
                    for k in 0..shares {
                        sums[to + k * kept.step] += chain[k];
                    }
                }
            }
        }
    }
}

/// Adds the products of output `o` to chain `i`; `first` is the input pixel that output 0 would meet.
#[cube]
fn product<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    chain: &mut Array<Vector<F, N>>,
    entrance: &Entrance<F, B>,
    geometry: &Geometry,
    tile_row: &TileRow,
    channel_offsets: &Channels,
    first: usize,
    o: usize,
    #[comptime] i: usize,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
) {
    let mut g = Array::<Vector<F, N>>::new(shares);
    let from = geometry.grad.at(tile_row.grad + o) + channel_offsets.wide;
    load_apart::<S, F, B, N>(grad, from, &mut g, 0usize, shares);
    let mut value = Array::<Vector<F, N>>::new(1usize);
    let pixel = geometry.x.at(first + o * geometry.horizontal.stride);
    load_apart::<S, F, B, N>(
        x,
        pixel + channel_offsets.narrow,
        &mut value,
        0usize,
        1usize,
    );
    let channel = channel_offsets.narrow;
    let value = enter::<S, F, B, N>(value[0], entrance, channel, comptime!(plan.prologue));
    products::<F, N>(value, &g, chain, 0usize, comptime!(i * shares), shares);
}

/// Adds a whole row of gradients to the sums of the bias, which begin at `to`.
#[cube]
fn bias_sums<S: Float, F: Float, B: Size, N: Size>(
    grad: &[Vector<S, B>],
    sums: &mut [Vector<F, N>],
    geometry: &Geometry,
    tile_row: &TileRow,
    channel_offsets: &Channels,
    kept: &Kept,
    to: usize,
    #[comptime] shares: usize,
) {
    let columns = geometry.horizontal.target;
    let longest = comptime!(TERMS_IN_CHAIN);
    for part in 0..(columns + longest - 1) / longest {
        let mut sum = Array::<Vector<F, N>>::new(shares);
        #[unroll]
        for k in 0..shares {
            sum[k] = Vector::<F, N>::new(F::new(0.0f32));
        }
        for o in part * longest..min((part + 1) * longest, columns) {
            let mut g = Array::<Vector<F, N>>::new(shares);
            let from = geometry.grad.at(tile_row.grad + o) + channel_offsets.wide;
            load_apart::<S, F, B, N>(grad, from, &mut g, 0usize, shares);
            #[unroll]
            for k in 0..shares {
                sum[k] += g[k];
            }
        }
        #[unroll]
        for k in 0..shares {
            sums[to + k * kept.step] += sum[k];
        }
    }
}
