//! Rung 4: the kernel's side is 3 when the kernel is compiled, and `#[unroll]` writes the nine taps out one after the other.
//!
//! **Predicted.** No loop counters, and no products for the places of taps: `ky * 3 + kx` is a number, and a row is asked once whether it
//! lies inside, not for each of its taps. The price is a kernel for each side, compiled when it is first launched, so only what decides the
//! shape of the code is made comptime; the image's sides and channels stay run-time numbers.

use super::{Map, map};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

#[cube(launch_unchecked)]
fn unrolled<N: Size>(
    x: &[Vector<f32, N>],
    w: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    map: Map,
    run: usize,
) {
    let first = ABSOLUTE_POS * run;
    for item in first..min(first + run, map.pixels * map.c) {
        let (pixel, v) = (item / map.c, item % map.c);
        let (row, column) = (pixel / map.w % map.h, pixel % map.w);
        let mut sum = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for ky in 0..3 {
            if row + ky >= 1 && row + ky < map.h + 1 {
                // One row and one column before the pixel's own is where the taps begin.
                let from = pixel + ky * map.w - map.w;
                #[unroll]
                for kx in 0..3 {
                    if column + kx >= 1 && column + kx < map.w + 1 {
                        let tap = w[(ky * 3 + kx) * map.c + v];
                        sum = fma(x[(from + kx - 1) * map.c + v], tap, sum);
                    }
                }
            }
        }
        y[item] = sum;
    }
}

pub(super) fn launch(x: &Tensor, w: &Tensor, y: &Tensor) {
    let width = grids::width(x.client(), x.dtype(), x.shape()[3]);
    let (client, grid) = (x.client(), grids::grid(x.client(), y.len() / width));
    let [from, weight, to] = [x, w, y].map(|tensor| tensor.arg(width));
    // SAFETY: the map is `x`'s in vectors, `y` has its shape, and every tap is asked whether it lies inside.
    unsafe {
        let (count, dim, map) = (grid.count, grid.dim, map(x, width));
        unrolled::launch_unchecked(client, count, dim, width, from, weight, to, map, grid.run);
    }
}
