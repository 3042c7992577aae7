//! Rung 2: the same outputs in the order of memory. Two lines differ from rung 1: which output an item is.
//!
//! **Predicted.** A unit now reads and writes one number after the other, and the nine taps of neighbouring outputs lie in the same few
//! lines: all of a line is used while it is in the first-level cache. On a GPU the 32 units of a request share a line. The arithmetic is the
//! same, and so are the bits.

use super::{Map, map};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

#[cube(launch_unchecked)]
fn channels(x: &[f32], w: &[f32], y: &mut [f32], map: Map, taps: usize, run: usize) {
    let first = ABSOLUTE_POS * run;
    let reach = taps / 2;
    for item in first..min(first + run, map.pixels * map.c) {
        let (pixel, channel) = (item / map.c, item % map.c);
        let (row, column) = (pixel / map.w % map.h, pixel % map.w);
        let mut sum = 0.0f32;
        for ky in 0..taps {
            for kx in 0..taps {
                let (i, j) = (row + ky, column + kx);
                if i >= reach && i < map.h + reach && j >= reach && j < map.w + reach {
                    let from = pixel + ky * map.w + kx - reach * (map.w + 1);
                    sum += x[from * map.c + channel] * w[(ky * taps + kx) * map.c + channel];
                }
            }
        }
        y[item] = sum;
    }
}

pub(super) fn launch(x: &Tensor, w: &Tensor, y: &Tensor) {
    let (client, grid) = (x.client(), grids::grid(x.client(), y.len()));
    let [from, weight, to] = [x, w, y].map(|tensor| tensor.arg(1));
    // SAFETY: the map is `x`'s, `y` has its shape, and every tap is asked whether it lies inside.
    unsafe {
        let (count, dim, map) = (grid.count, grid.dim, map(x, 1));
        channels::launch_unchecked(client, count, dim, from, weight, to, map, 3, grid.run);
    }
}
