//! Rung 3: an item is a vector of channels. `f32` became `Vector<f32, N>`, and the map counts vectors; the loops are those of rung 2.
//!
//! **Predicted.** A core of a CPU multiplies a whole register at once (16 numbers with AVX-512), and what an item costs beside its sums
//! (four divisions for its place, nine questions whether a tap lies inside) is paid once a vector: up to 16 times as fast, until memory is
//! what is waited for. A GPU's units are lanes already; there a vector of 4 saves load instructions alone.
//!
//! **What it costs.** The width has to divide the channels: 100 go in vectors of 4, an odd number one by one.

use super::{Map, map};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

#[cube(launch_unchecked)]
fn vectors<N: Size>(
    x: &[Vector<f32, N>],
    w: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    map: Map,
    taps: usize,
    run: usize,
) {
    let first = ABSOLUTE_POS * run;
    let reach = taps / 2;
    for item in first..min(first + run, map.pixels * map.c) {
        let (pixel, v) = (item / map.c, item % map.c);
        let (row, column) = (pixel / map.w % map.h, pixel % map.w);
        let mut sum = Vector::<f32, N>::new(0.0f32);
        for ky in 0..taps {
            for kx in 0..taps {
                let (i, j) = (row + ky, column + kx);
                if i >= reach && i < map.h + reach && j >= reach && j < map.w + reach {
                    let from = pixel + ky * map.w + kx - reach * (map.w + 1);
                    sum += x[from * map.c + v] * w[(ky * taps + kx) * map.c + v];
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
        vectors::launch_unchecked(
            client, count, dim, width, from, weight, to, map, 3, grid.run,
        );
    }
}
