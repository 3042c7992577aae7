//! The transforms of one axis, line by line along both axes of a tile; those of gradients are the transposes of those of outputs and weight.
//!
//! A tile of `m` outputs reads `m + 2` inputs, and is made from products at as many points: 0, 1, -1 and infinity for 2 outputs, 0, ±3/4,
//! ±3/2 and infinity for 4. All constants but the weight's are dyadic, exact in any element type.

use crate::planted;
use cubecl::prelude::*;

/// The two squares of the points of 4 outputs, 9/16 and 9/4.
const P2: f32 = 0.5625;
const Q2: f32 = 2.25;

/// `B^T d` along both axes of a tile of `side` by `side` inputs.
#[cube]
pub(super) fn transform_input<F: Float, N: Size>(
    tile: &mut Array<Vector<F, N>>,
    #[comptime] side: usize,
) {
    #[unroll]
    for row in 0..side {
        input_line::<F, N>(tile, comptime!(row * side), 1usize, side);
    }
    #[unroll]
    for column in 0..side {
        input_line::<F, N>(tile, column, side, side);
    }
}

#[cube]
fn input_line<F: Float, N: Size>(
    d: &mut Array<Vector<F, N>>,
    #[comptime] start: usize,
    #[comptime] step: usize,
    #[comptime] side: usize,
) {
    let d0 = d[start];
    let d1 = d[comptime!(start + step)];
    let d2 = d[comptime!(start + 2 * step)];
    let d3 = d[comptime!(start + 3 * step)];
    if comptime!(side == 4) {
        d[start] = d0 - d2;
        d[comptime!(start + step)] = d1 + d2;
        d[comptime!(start + 2 * step)] = d2 - d1;
        d[comptime!(start + 3 * step)] = d1 - d3;
    } else {
        let d4 = d[comptime!(start + 4 * step)];
        let d5 = d[comptime!(start + 5 * step)];
        let both = Vector::<F, N>::new(F::new(P2 * Q2));
        let less = Vector::<F, N>::new(F::new(-(P2 + Q2)));
        let less_p2 = Vector::<F, N>::new(F::new(-P2));
        let less_q2 = Vector::<F, N>::new(F::new(-Q2));
        let p = Vector::<F, N>::new(F::new(0.75f32));
        let q = Vector::<F, N>::new(F::new(1.5f32));
        let even_p = fma(d2, less_q2, d4);
        let odd_p = fma(d1, less_q2, d3);
        let even_q = fma(d2, less_p2, d4);
        let odd_q = fma(d1, less_p2, d3);
        d[start] = fma(d0, both, fma(d2, less, d4));
        d[comptime!(start + step)] = fma(odd_p, p, even_p);
        d[comptime!(start + 2 * step)] = fma(odd_p, -p, even_p);
        d[comptime!(start + 3 * step)] = fma(odd_q, q, even_q);
        d[comptime!(start + 4 * step)] = fma(odd_q, -q, even_q);
        d[comptime!(start + 5 * step)] = fma(d1, both, fma(d3, less, d5));
    }
}

/// `G w G^T` of nine taps, for all points.
#[cube]
pub(super) fn transform_weight<F: Float, N: Size>(
    taps: &Array<Vector<F, N>>,
    #[comptime] side: usize,
) -> Array<Vector<F, N>> {
    let mut down = Array::<Vector<F, N>>::new(comptime!(3 * side));
    #[unroll]
    for column in 0..3usize {
        let line = taps_line::<F, N>(
            taps[column],
            taps[comptime!(3 + column)],
            taps[comptime!(6 + column)],
            side,
        );
        #[unroll]
        for row in 0..side {
            down[comptime!(row * 3 + column)] = line[row];
        }
    }
    let mut points = Array::<Vector<F, N>>::new(comptime!(side * side));
    #[unroll]
    for row in 0..side {
        let line = taps_line::<F, N>(
            down[comptime!(row * 3)],
            down[comptime!(row * 3 + 1)],
            down[comptime!(row * 3 + 2)],
            side,
        );
        #[unroll]
        for column in 0..side {
            points[comptime!(row * side + column)] = line[column];
        }
    }
    points
}

#[cube]
fn taps_line<F: Float, N: Size>(
    t0: Vector<F, N>,
    t1: Vector<F, N>,
    t2: Vector<F, N>,
    #[comptime] side: usize,
) -> Array<Vector<F, N>> {
    let mut points = Array::<Vector<F, N>>::new(side);
    points[comptime!(side - 1)] = t2;
    if comptime!(side == 4) {
        let half = Vector::<F, N>::new(F::new(0.5f32));
        let even = (t0 + t2) * half;
        points[0usize] = t0;
        points[1usize] = fma(t1, half, even);
        points[2usize] = fma(t1, -half, even);
    } else {
        let of_zero = Vector::<F, N>::new(F::new(64.0f32) / F::new(81.0f32));
        let of_p = Vector::<F, N>::new(F::new(-128.0f32) / F::new(243.0f32));
        let of_q = Vector::<F, N>::new(F::new(32.0f32) / F::new(243.0f32));
        let p = Vector::<F, N>::new(F::new(0.75f32));
        let q = Vector::<F, N>::new(F::new(1.5f32));
        let even_p = fma(t2, Vector::new(F::new(P2)), t0) * of_p;
        let even_q = fma(t2, Vector::new(F::new(Q2)), t0) * of_q;
        points[0usize] = t0 * of_zero;
        points[1usize] = fma(t1, of_p * p, even_p);
        points[2usize] = fma(t1, -(of_p * p), even_p);
        points[3usize] = fma(t1, of_q * q, even_q);
        points[4usize] = fma(t1, -(of_q * q), even_q);
    }
    points
}

/// `A^T m` along both axes: leaves the outputs `(i, j)` at `i side + j`.
#[cube]
pub(super) fn transform_output<F: Float, N: Size>(
    tile: &mut Array<Vector<F, N>>,
    #[comptime] side: usize,
) {
    #[unroll]
    for column in 0..side {
        output_line::<F, N>(tile, column, side, side);
    }
    #[unroll]
    for row in 0..comptime!(side - 2) {
        output_line::<F, N>(tile, comptime!(row * side), 1usize, side);
    }
}

#[cube]
fn output_line<F: Float, N: Size>(
    m: &mut Array<Vector<F, N>>,
    #[comptime] start: usize,
    #[comptime] step: usize,
    #[comptime] side: usize,
) {
    let m0 = m[start];
    let m1 = m[comptime!(start + step)];
    let m2 = m[comptime!(start + 2 * step)];
    let m3 = m[comptime!(start + 3 * step)];
    let sum_p = m1 + m2;
    let difference_p = m1 - m2;
    if comptime!(side == 4) {
        m[start] = m0 + sum_p;
        m[comptime!(start + step)] = difference_p - m3;
    } else {
        let m4 = m[comptime!(start + 4 * step)];
        let m5 = m[comptime!(start + 5 * step)];
        let p = Vector::<F, N>::new(F::new(0.75f32));
        let q = Vector::<F, N>::new(F::new(1.5f32));
        let p2 = Vector::<F, N>::new(F::new(P2));
        let q2 = Vector::<F, N>::new(F::new(Q2));
        let sum_q = m3 + m4;
        let odd_p = difference_p * p;
        let odd_q = (m3 - m4) * q;
        let mut last = m5;
        if comptime!(planted::is("winograd_without_infinity")) {
            last = sum_p;
        }
        m[start] = m0 + (sum_p + sum_q);
        m[comptime!(start + step)] = odd_p + odd_q;
        m[comptime!(start + 2 * step)] = fma(sum_q, q2, sum_p * p2);
        m[comptime!(start + 3 * step)] = fma(odd_q, q2, fma(odd_p, p2, last));
    }
}

/// `A g A^T` of a tile of `outputs` by `outputs` gradients, for all points.
#[cube]
pub(super) fn transform_grad<F: Float, N: Size>(
    tile: &Array<Vector<F, N>>,
    #[comptime] outputs: usize,
) -> Array<Vector<F, N>> {
    let side = comptime!(outputs + 2);
    let mut points = Array::<Vector<F, N>>::new(comptime!(side * side));
    #[unroll]
    for column in 0..outputs {
        #[unroll]
        for row in 0..outputs {
            points[comptime!(row * side + column)] = tile[comptime!(row * outputs + column)];
        }
        grad_line::<F, N>(&mut points, column, side, side);
    }
    #[unroll]
    for row in 0..side {
        grad_line::<F, N>(&mut points, comptime!(row * side), 1usize, side);
    }
    points
}

/// From the first `side - 2` of a line to all of it.
#[cube]
fn grad_line<F: Float, N: Size>(
    g: &mut Array<Vector<F, N>>,
    #[comptime] start: usize,
    #[comptime] step: usize,
    #[comptime] side: usize,
) {
    let g0 = g[start];
    let g1 = g[comptime!(start + step)];
    if comptime!(side == 4) {
        g[comptime!(start + step)] = g0 + g1;
        g[comptime!(start + 2 * step)] = g0 - g1;
        g[comptime!(start + 3 * step)] = -g1;
    } else {
        let g2 = g[comptime!(start + 2 * step)];
        let g3 = g[comptime!(start + 3 * step)];
        let p = Vector::<F, N>::new(F::new(0.75f32));
        let q = Vector::<F, N>::new(F::new(1.5f32));
        let p2 = Vector::<F, N>::new(F::new(P2));
        let q2 = Vector::<F, N>::new(F::new(Q2));
        let even_p = fma(g2, p2, g0);
        let odd_p = fma(g3, p2, g1);
        let even_q = fma(g2, q2, g0);
        let odd_q = fma(g3, q2, g1);
        g[comptime!(start + step)] = fma(odd_p, p, even_p);
        g[comptime!(start + 2 * step)] = fma(odd_p, -p, even_p);
        g[comptime!(start + 3 * step)] = fma(odd_q, q, even_q);
        g[comptime!(start + 4 * step)] = fma(odd_q, -q, even_q);
        g[comptime!(start + 5 * step)] = g3;
    }
}

/// `G^T m G` of the sums at all points: the nine taps.
#[cube]
pub(super) fn transform_back<F: Float, N: Size>(
    points: &Array<Vector<F, N>>,
    #[comptime] side: usize,
) -> Array<Vector<F, N>> {
    let mut down = Array::<Vector<F, N>>::new(comptime!(3 * side));
    #[unroll]
    for column in 0..side {
        back_line::<F, N>(points, column, side, &mut down, column, side, side);
    }
    let mut taps = Array::<Vector<F, N>>::new(9usize);
    #[unroll]
    for row in 0..3usize {
        let start = comptime!(row * side);
        back_line::<F, N>(
            &down,
            start,
            1usize,
            &mut taps,
            comptime!(3 * row),
            1usize,
            side,
        );
    }
    taps
}

#[cube]
fn back_line<F: Float, N: Size>(
    m: &Array<Vector<F, N>>,
    #[comptime] start: usize,
    #[comptime] step: usize,
    taps: &mut Array<Vector<F, N>>,
    #[comptime] to: usize,
    #[comptime] to_step: usize,
    #[comptime] side: usize,
) {
    let m0 = m[start];
    let m1 = m[comptime!(start + step)];
    let m2 = m[comptime!(start + 2 * step)];
    let m3 = m[comptime!(start + 3 * step)];
    let sum_p = m1 + m2;
    let difference_p = m1 - m2;
    if comptime!(side == 4) {
        let half = Vector::<F, N>::new(F::new(0.5f32));
        taps[to] = fma(sum_p, half, m0);
        taps[comptime!(to + to_step)] = difference_p * half;
        taps[comptime!(to + 2 * to_step)] = fma(sum_p, half, m3);
    } else {
        let m4 = m[comptime!(start + 4 * step)];
        let m5 = m[comptime!(start + 5 * step)];
        let of_zero = Vector::<F, N>::new(F::new(64.0f32) / F::new(81.0f32));
        let of_p = Vector::<F, N>::new(F::new(-128.0f32) / F::new(243.0f32));
        let of_q = Vector::<F, N>::new(F::new(32.0f32) / F::new(243.0f32));
        let p = Vector::<F, N>::new(F::new(0.75f32));
        let q = Vector::<F, N>::new(F::new(1.5f32));
        let p2 = Vector::<F, N>::new(F::new(P2));
        let q2 = Vector::<F, N>::new(F::new(Q2));
        let even_p = sum_p * of_p;
        let even_q = (m3 + m4) * of_q;
        let odd_p = difference_p * (of_p * p);
        let odd_q = (m3 - m4) * (of_q * q);
        taps[to] = fma(m0, of_zero, even_p + even_q);
        taps[comptime!(to + to_step)] = odd_p + odd_q;
        taps[comptime!(to + 2 * to_step)] = fma(even_p, p2, fma(even_q, q2, m5));
    }
}
