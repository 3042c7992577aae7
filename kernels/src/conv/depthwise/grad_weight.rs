use super::DepthwiseProblem;
use super::axis::{Axis, Tile, Walk, axis};
use super::plan::Blueprint;
use super::spread::{Channels, Sharing, Vectors, spread};
use crate::lanes::{View, load, store};
use crate::pointwise::sum_rows;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Partial sums, a function of the problem alone so that the bits do not depend on the machine; enough for 32 cores.
const MOST_PARTIALS: usize = 32;
/// Elements of all partial sums together, but for the fewest: a kernel of 31 x 31 would otherwise write more than it reads.
const MOST_ELEMENTS: usize = 1 << 22;
const FEWEST_PARTIALS: usize = 8;
/// Terms of one partial sum at most, so that f32 does not lose the last of them.
const MOST_TERMS: usize = 1 << 15;
/// Neighbouring outputs whose gradients are held in registers while the taps pass over them.
const TILE: usize = 8;

/// Where everything lies, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Geometry {
    vertical: Axis,
    horizontal: Axis,
    x: View,
    grad: View,
    channels: usize,
    multiplier: usize,
}

/// One row of the output's gradient.
#[derive(CubeType, Clone, Copy)]
struct Row {
    /// The first pixel of the gradient's row.
    grad: usize,
    /// The first input row of the image.
    line: usize,
    taps: Walk,
}

/// One unit owns a run of items, an item `vectors_each` vectors of channels of one partial sum, a partial sum a run of output rows.
/// The sums of all taps stay in the unit's own scratch, which the first-level cache holds, while pixels are walked in memory
/// order; each vector of channels has its own, so that overlapping vectors add up nothing twice.
#[cube(launch_unchecked)]
fn partial_sums<F: Float, B: Size, N: Size, M: Size>(
    x: &[Vector<F, B>],
    grad: &[Vector<F, B>],
    sums: &mut [Vector<F, N>],
    partials: &mut [Vector<F, B>],
    _anywhere: &[F],
    geometry: Geometry,
    rows: usize,
    rows_each: usize,
    partial_count: usize,
    tiles: usize,
    vectors: usize,
    vectors_each: usize,
    run: usize,
    #[comptime] plan: Blueprint,
    #[comptime] sharing: Sharing,
    #[comptime] bias: bool,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let wide_channels = geometry.channels * geometry.multiplier;
    let mut kept = geometry.vertical.kernel * geometry.horizontal.kernel;
    if comptime!(bias) {
        kept += 1;
    }
    let scratch = ABSOLUTE_POS * kept * vectors_each;
    let vector_blocks = (vectors + vectors_each - 1) / vectors_each;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count * vector_blocks);
    for item in first..last {
        let v0 = item % vector_blocks * vectors_each;
        let v1 = min(v0 + vectors_each, vectors);
        let partial = item / vector_blocks;
        for i in 0..kept * vectors_each {
            sums[scratch + i] = zero;
        }
        let from = partial * rows_each;
        for row in from..min(from + rows_each, rows) {
            let place = Row {
                grad: row * geometry.horizontal.target,
                line: row / geometry.vertical.target * geometry.vertical.source,
                taps: geometry
                    .vertical
                    .walk(row % geometry.vertical.target, false),
            };
            for t in 0..tiles {
                let tile = geometry.horizontal.tile(t, plan);
                for v in v0..v1 {
                    let at = Channels::of::<N, M>(
                        v,
                        geometry.channels,
                        geometry.multiplier,
                        false,
                        sharing,
                    );
                    let kept = scratch + v - v0;
                    if comptime!(!plan.unrolled) {
                        walked::<F, B, N, M>(
                            x,
                            grad,
                            sums,
                            &geometry,
                            &place,
                            &at,
                            kept,
                            vectors_each,
                            bias,
                        );
                    } else if tile.inside {
                        unrolled::<F, B, N, M>(
                            x,
                            grad,
                            sums,
                            &geometry,
                            &place,
                            &tile,
                            &at,
                            kept,
                            vectors_each,
                            plan,
                            bias,
                            false,
                        );
                    } else {
                        unrolled::<F, B, N, M>(
                            x,
                            grad,
                            sums,
                            &geometry,
                            &place,
                            &tile,
                            &at,
                            kept,
                            vectors_each,
                            plan,
                            bias,
                            true,
                        );
                    }
                }
            }
        }
        for tap in 0..kept {
            for v in v0..v1 {
                let at =
                    Channels::of::<N, M>(v, geometry.channels, geometry.multiplier, false, sharing);
                let sum = sums[scratch + tap * vectors_each + v - v0];
                let to = (partial * kept + tap) * wide_channels + at.wide;
                store::<F, B, N>(partials, to, sum);
            }
        }
    }
}

/// Adds the products of a tile of outputs to the sums, a kernel row at a time; the sum of tap `t` is `sums[kept + t step]`. `guarded` where the tile reaches past an edge.
#[cube]
fn unrolled<F: Float, B: Size, N: Size, M: Size>(
    x: &[Vector<F, B>],
    grad: &[Vector<F, B>],
    sums: &mut [Vector<F, N>],
    geometry: &Geometry,
    place: &Row,
    tile: &Tile,
    at: &Channels,
    kept: usize,
    step: usize,
    #[comptime] plan: Blueprint,
    #[comptime] bias: bool,
    #[comptime] guarded: bool,
) {
    let (kernel, span, size) = comptime!((plan.kernel, plan.sources(), plan.tile));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut g = Array::<Vector<F, N>>::new(size);
    #[unroll]
    for i in 0..size {
        g[i] = zero;
        let mut exists = true.runtime();
        if comptime!(guarded) {
            exists = i < tile.last;
        }
        if exists {
            let pixel = geometry.grad.at(place.grad + tile.target + i);
            g[i] = load::<F, B, N>(grad, pixel + at.wide);
        }
    }
    if comptime!(bias) {
        let taps = geometry.vertical.kernel * geometry.horizontal.kernel;
        let mut sum = sums[kept + taps * step];
        #[unroll]
        for i in 0..size {
            sum += g[i];
        }
        sums[kept + taps * step] = sum;
    }
    for j in 0..place.taps.taps {
        let row = place.line + geometry.vertical.source_at(&place.taps, j, false);
        let start = geometry
            .x
            .at(row * geometry.horizontal.source + tile.source);
        let tap = geometry.vertical.tap_at(&place.taps, j, false) * kernel;
        let kept = kept + tap * step;
        let mut sum = Array::<Vector<F, N>>::new(kernel);
        #[unroll]
        for k in 0..kernel {
            sum[k] = sums[kept + k * step];
        }
        #[unroll]
        for p in 0..span {
            if comptime!(plan.reads(p)) {
                let mut exists = true.runtime();
                if comptime!(guarded) {
                    exists = p >= tile.lower && p < tile.upper;
                }
                if exists {
                    let pixel = start + p * geometry.x.pitch;
                    let value = spread::<F, B, N, M>(x, pixel + at.narrow);
                    #[unroll]
                    for i in 0..size {
                        if comptime!(plan.tap(i, p).is_some()) {
                            let k = comptime!(plan.tap(i, p).unwrap_or(0));
                            if comptime!(guarded) {
                                if i < tile.last {
                                    sum[k] = fma(value, g[i], sum[k]);
                                }
                            } else {
                                sum[k] = fma(value, g[i], sum[k]);
                            }
                        }
                    }
                }
            }
        }
        #[unroll]
        for k in 0..kernel {
            sums[kept + k * step] = sum[k];
        }
    }
}

/// Adds the products of a whole row of outputs to the sums, tap by tap, in four chains that hide the latency.
#[cube]
fn walked<F: Float, B: Size, N: Size, M: Size>(
    x: &[Vector<F, B>],
    grad: &[Vector<F, B>],
    sums: &mut [Vector<F, N>],
    geometry: &Geometry,
    place: &Row,
    at: &Channels,
    kept: usize,
    step: usize,
    #[comptime] bias: bool,
) {
    let chains = comptime!(4usize);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let (stride, columns) = (geometry.horizontal.stride, geometry.horizontal.target);
    if comptime!(bias) {
        let taps = geometry.vertical.kernel * geometry.horizontal.kernel;
        let mut sum = sums[kept + taps * step];
        for o in 0..columns {
            sum += load::<F, B, N>(grad, geometry.grad.at(place.grad + o) + at.wide);
        }
        sums[kept + taps * step] = sum;
    }
    for j in 0..place.taps.taps {
        let row = place.line + geometry.vertical.source_at(&place.taps, j, false);
        let row = row * geometry.horizontal.source;
        let tap = geometry.vertical.tap_at(&place.taps, j, false) * geometry.horizontal.kernel;
        for k in 0..geometry.horizontal.kernel {
            // The outputs whose window has this tap inside of the image.
            let lead = k * geometry.horizontal.dilation;
            let padding = geometry.horizontal.padding;
            let before = max(padding, lead) - lead;
            let behind = max(padding + geometry.horizontal.source, lead) - lead;
            let stop = min((behind + stride - 1) / stride, columns);
            let start = min((before + stride - 1) / stride, stop);
            let mut chain = Array::<Vector<F, N>>::new(chains);
            #[unroll]
            for i in 0..chains {
                chain[i] = zero;
            }
            let even = stop - (stop - start) % chains;
            for block in 0..(even - start) / chains {
                #[unroll]
                for i in 0..chains {
                    let o = start + block * chains + i;
                    let g = load::<F, B, N>(grad, geometry.grad.at(place.grad + o) + at.wide);
                    let pixel = geometry.x.at(row + o * stride + lead - padding);
                    let value = spread::<F, B, N, M>(x, pixel + at.narrow);
                    chain[i] = fma(value, g, chain[i]);
                }
            }
            for o in even..stop {
                let g = load::<F, B, N>(grad, geometry.grad.at(place.grad + o) + at.wide);
                let pixel = geometry.x.at(row + o * stride + lead - padding);
                let value = spread::<F, B, N, M>(x, pixel + at.narrow);
                chain[0] = fma(value, g, chain[0]);
            }
            let kept = kept + (tap + k) * step;
            let sum = sums[kept];
            let sum = sum + ((chain[0] + chain[1]) + (chain[2] + chain[3]));
            sums[kept] = sum;
        }
    }
}

/// Output rows of one partial sum.
fn rows_each(problem: &DepthwiseProblem, kept: usize) -> usize {
    let [oh, ow] = problem.output();
    let most = (MOST_ELEMENTS / kept).clamp(FEWEST_PARTIALS, MOST_PARTIALS);
    let rows = (problem.batch * oh).div_ceil(most);
    rows.min(MOST_TERMS / ow).max(1)
}

/// Launches the partial sums and their sum in a fixed order into `out` `[kh kw (+ 1), c m]`, whose last row is the bias's
/// gradient where `bias` asks for it.
pub(super) fn launch_grad_weight(
    problem: &DepthwiseProblem,
    x: &Tensor,
    grad: &Tensor,
    out: &Tensor,
    bias: bool,
) {
    let (client, dtype) = (x.client(), problem.dtype);
    let plan = Blueprint::new(problem, false, TILE);
    let vectors = Vectors::new(problem, &[x, grad]);
    let lanes = &vectors.lanes;
    let count = vectors.count(false);
    let rows = problem.batch * problem.output()[0];
    let rows_each = rows_each(problem, out.len());
    let partial_count = rows.div_ceil(rows_each);
    let vectors_each = if launch::is_cpu(client) { count } else { 1 };
    let grid = launch::grid(client, partial_count * count.div_ceil(vectors_each));
    let kept = out.shape()[0];
    let scratch = grid.units * kept * vectors_each * lanes.width;
    let sums = Tensor::empty(client, &[scratch], dtype);
    let partials = Tensor::empty(client, &[partial_count, out.len()], dtype);
    // One walk along a row serves all of its outputs, where tiles serve a few each.
    let tiles = if plan.unrolled {
        plan.tiles(problem)
    } else {
        1
    };
    // SAFETY: `DepthwiseProblem` relates all extents; every unit has room for its own sums.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            vectors.narrow,
            lanes.arg(x),
            lanes.arg(grad),
            sums.arg(lanes.width),
            lanes.arg(&partials),
            lanes.anywhere(x),
            GeometryLaunch::new(
                axis(problem, 0, false),
                axis(problem, 1, false),
                x.view(),
                grad.view(),
                problem.channels,
                problem.multiplier,
            ),
            rows,
            rows_each,
            partial_count,
            tiles,
            count,
            vectors_each,
            grid.run,
            plan,
            vectors.sharing,
            bias,
            dtype.elem(),
        );
    }
    launch::pace(client);
    sum_rows(&partials, out);
}
