//! Rung 5: an item is a whole row of outputs in one vector of channels. The nine weights are loaded once and stay in registers; each input
//! goes into the three outputs that read it as it comes by, so that it is loaded once for each row of taps and not three times.
//!
//! **Predicted.** 3 loads for an output where rung 4 has 18, and one place for a row where it had one for each output: several times as fast
//! if loads were what was waited for.
//!
//! **What to look out for.** The inputs of a row lie `c` numbers apart again, and so do the outputs: rung 1's order, with whole vectors. Every
//! line is used by the items that follow, as long as the three rows stay in a cache. No side asks for the padding: what falls left of the first
//! output is thrown away, and right of the last one there is nothing to add.

use super::{Map, map};
use cubecl::prelude::*;
use ghostlight_autodiff::Tensor;
use ghostlight_kernels::launch as grids;

#[cube(launch_unchecked)]
fn sliding<N: Size>(
    x: &[Vector<f32, N>],
    w: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    map: Map,
    run: usize,
) {
    let zero = Vector::<f32, N>::new(0.0f32);
    let first = ABSOLUTE_POS * run;
    for item in first..min(first + run, map.pixels / map.w * map.c) {
        let (row, v) = (item / map.c, item % map.c);
        let above = row % map.h;
        let mut taps = Array::<Vector<f32, N>>::new(9usize);
        #[unroll]
        for tap in 0..9 {
            taps[tap] = w[tap * map.c + v];
        }
        // The outputs left of, above and right of the input that comes next, as far as they are summed up.
        let mut left = zero;
        let mut here = zero;
        for column in 0..map.w {
            let mut right = zero;
            #[unroll]
            for ky in 0..3 {
                if above + ky >= 1 && above + ky < map.h + 1 {
                    let value = x[((row + ky - 1) * map.w + column) * map.c + v];
                    left = fma(value, taps[ky * 3 + 2], left);
                    here = fma(value, taps[ky * 3 + 1], here);
                    right = fma(value, taps[ky * 3], right);
                }
            }
            if column >= 1 {
                y[(row * map.w + column - 1) * map.c + v] = left;
            }
            left = here;
            here = right;
        }
        y[(row * map.w + map.w - 1) * map.c + v] = left;
    }
}

pub(super) fn launch(x: &Tensor, w: &Tensor, y: &Tensor) {
    let width = grids::width(x.client(), x.dtype(), x.shape()[3]);
    let grid = grids::grid(x.client(), y.len() / width / x.shape()[2]);
    let [from, weight, to] = [x, w, y].map(|tensor| tensor.arg(width));
    // SAFETY: the map is `x`'s in vectors, `y` has its shape, and every row is asked whether it lies inside.
    unsafe {
        let (client, count, dim, map) = (x.client(), grid.count, grid.dim, map(x, width));
        sliding::launch_unchecked(client, count, dim, width, from, weight, to, map, grid.run);
    }
}
