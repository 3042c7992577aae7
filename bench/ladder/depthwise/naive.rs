//! Rung 1: the loops of the definition. A unit owns a run of outputs, channel by channel, in each of them image by image, row by row.
//!
//! **What is slow about it.** The outputs of a run are neighbours in the image, and lie `c` numbers apart in memory. Each load and each
//! store takes 4 bytes of a line of 64 (128 on a GPU), and the lines are fetched again for the next channel. On a GPU, whose neighbouring
//! units load at the same time, a request of 32 units touches 32 lines.

use super::{Map, map};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

/// `taps` is the side of the kernel, an odd number.
#[cube(launch_unchecked)]
fn naive(x: &[f32], w: &[f32], y: &mut [f32], map: Map, taps: usize, run: usize) {
    let first = ABSOLUTE_POS * run;
    let reach = taps / 2;
    for item in first..min(first + run, map.pixels * map.c) {
        let (channel, pixel) = (item / map.pixels, item % map.pixels);
        let (row, column) = (pixel / map.w % map.h, pixel % map.w);
        let mut sum = 0.0f32;
        for ky in 0..taps {
            for kx in 0..taps {
                // Counted from the first row and column of the padding, so that no index is below 0.
                let (i, j) = (row + ky, column + kx);
                if i >= reach && i < map.h + reach && j >= reach && j < map.w + reach {
                    let from = pixel + ky * map.w + kx - reach * (map.w + 1);
                    sum += x[from * map.c + channel] * w[(ky * taps + kx) * map.c + channel];
                }
            }
        }
        y[pixel * map.c + channel] = sum;
    }
}

pub(super) fn launch(x: &Tensor, w: &Tensor, y: &Tensor) {
    let (client, grid) = (x.client(), grids::grid(x.client(), y.len()));
    let [from, weight, to] = [x, w, y].map(|tensor| tensor.arg(1));
    // SAFETY: the map is `x`'s, `y` has its shape, and every tap is asked whether it lies inside.
    unsafe {
        let (count, dim, map) = (grid.count, grid.dim, map(x, 1));
        naive::launch_unchecked(client, count, dim, from, weight, to, map, 3, grid.run);
    }
}
