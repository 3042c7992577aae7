//! The kernel of the forward pass and, transposed, of the gradient with respect to the input.

use super::DepthwiseProblem;
use super::axis::{Axis, Tile, Walk, axis};
use super::plan::Blueprint;
use super::spread::{Channels, Sharing, Vectors, fold, spread};
use crate::lanes::{View, load, store};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// What is done to a value before it is stored, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Epilogue {
    bias: bool,
    affine: bool,
    plus: bool,
    relu: bool,
}

/// Where everything lies, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Geometry {
    vertical: Axis,
    horizontal: Axis,
    source: View,
    target: View,
    plus: View,
    /// Of the input, and for each of them of the output.
    channels: usize,
    multiplier: usize,
}

/// The pixels that one row of tiles reads and writes.
#[derive(CubeType, Clone, Copy)]
struct Row {
    /// The first pixel of the target's row.
    target: usize,
    /// The first source row of the image.
    line: usize,
    taps: Walk,
}

/// One unit owns a run of items; an item is `tiles_each` tiles of one target row in `vectors_each` vectors of channels. Pixels go
/// outside and channels inside, so that memory is walked in its own order.
#[cube(launch_unchecked)]
fn convolve<F: Float, B: Size, N: Size, M: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    target: &mut [Vector<F, B>],
    bias: &[Vector<F, B>],
    centre: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    shift: &[Vector<F, B>],
    plus: &[Vector<F, B>],
    _anywhere: &[F],
    geometry: Geometry,
    rows: usize,
    tiles: usize,
    tiles_each: usize,
    vectors: usize,
    vectors_each: usize,
    run: usize,
    #[comptime] plan: Blueprint,
    #[comptime] sharing: Sharing,
    #[comptime] epilogue: Epilogue,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let transposed = comptime!(plan.transposed);
    let tile_blocks = (tiles + tiles_each - 1) / tiles_each;
    let vector_blocks = (vectors + vectors_each - 1) / vectors_each;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, rows * tile_blocks * vector_blocks);
    for item in first..last {
        let v0 = item % vector_blocks * vectors_each;
        let v1 = min(v0 + vectors_each, vectors);
        let block = item / vector_blocks;
        let t0 = block % tile_blocks * tiles_each;
        let t1 = min(t0 + tiles_each, tiles);
        let row = block / tile_blocks;
        let place = Row {
            target: row * geometry.horizontal.target,
            line: row / geometry.vertical.target * geometry.vertical.source,
            taps: geometry
                .vertical
                .walk(row % geometry.vertical.target, transposed),
        };
        for t in t0..t1 {
            let tile = geometry.horizontal.tile(t, plan);
            let columns = geometry.horizontal.walk(t, transposed);
            for v in v0..v1 {
                let at = Channels::of::<N, M>(
                    v,
                    geometry.channels,
                    geometry.multiplier,
                    transposed,
                    sharing,
                );
                let mut sums = Array::<Vector<F, N>>::new(plan.tile);
                #[unroll]
                for i in 0..plan.tile {
                    sums[i] = Vector::new(F::new(0.0f32));
                }
                let mut shares = 1usize.runtime();
                if comptime!(transposed && sharing == Sharing::Single) {
                    shares = geometry.multiplier;
                }
                if comptime!(!plan.unrolled) {
                    for share in 0..shares {
                        let at = at.share(share);
                        walked::<F, B, N, M>(
                            source, weight, &mut sums, &geometry, &place, &columns, &at, plan,
                        );
                    }
                    finish::<F, B, N, M>(
                        target, bias, centre, scale, shift, plus, &sums, &geometry, &place, &tile,
                        &at, plan, epilogue, false,
                    );
                } else if tile.inside {
                    for share in 0..shares {
                        let at = at.share(share);
                        unrolled::<F, B, N, M>(
                            source, weight, &mut sums, &geometry, &place, &tile, &at, plan, false,
                        );
                    }
                    finish::<F, B, N, M>(
                        target, bias, centre, scale, shift, plus, &sums, &geometry, &place, &tile,
                        &at, plan, epilogue, false,
                    );
                } else {
                    for share in 0..shares {
                        let at = at.share(share);
                        unrolled::<F, B, N, M>(
                            source, weight, &mut sums, &geometry, &place, &tile, &at, plan, true,
                        );
                    }
                    finish::<F, B, N, M>(
                        target, bias, centre, scale, shift, plus, &sums, &geometry, &place, &tile,
                        &at, plan, epilogue, true,
                    );
                }
            }
        }
    }
}

/// Adds the products of a tile, a kernel row at a time, to `sums`: each source vector is loaded once for all targets of the tile
/// that read it. `guarded` where the tile reaches past an edge.
#[cube]
fn unrolled<F: Float, B: Size, N: Size, M: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    sums: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    place: &Row,
    tile: &Tile,
    at: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] guarded: bool,
) {
    let (kernel, span) = comptime!((plan.kernel, plan.sources()));
    let transposed = comptime!(plan.transposed);
    let wide_channels = geometry.channels * geometry.multiplier;
    for j in 0..place.taps.taps {
        let row = place.line + geometry.vertical.source_at(&place.taps, j, transposed);
        let start = geometry
            .source
            .at(row * geometry.horizontal.source + tile.source);
        let tap = geometry.vertical.tap_at(&place.taps, j, transposed) * kernel;
        let mut taps = Array::<Vector<F, N>>::new(kernel);
        #[unroll]
        for k in 0..kernel {
            taps[k] = load::<F, B, N>(weight, (tap + k) * wide_channels + at.wide);
        }
        #[unroll]
        for p in 0..span {
            if comptime!(plan.reads(p)) {
                let pixel = start + p * geometry.source.pitch;
                if comptime!(guarded) {
                    if p >= tile.lower && p < tile.upper {
                        column::<F, B, N, M>(source, &taps, sums, pixel, at, plan, p);
                    }
                } else {
                    column::<F, B, N, M>(source, &taps, sums, pixel, at, plan, p);
                }
            }
        }
    }
}

/// Adds the products of source place `p` of a tile.
#[cube]
fn column<F: Float, B: Size, N: Size, M: Size>(
    source: &[Vector<F, B>],
    taps: &Array<Vector<F, N>>,
    sums: &mut Array<Vector<F, N>>,
    pixel: usize,
    at: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] p: usize,
) {
    let x = read::<F, B, N, M>(source, pixel, at, plan.transposed);
    #[unroll]
    for i in 0..plan.tile {
        if comptime!(plan.tap(i, p).is_some()) {
            let tap = comptime!(plan.tap(i, p).unwrap_or(0));
            sums[i] = fma(x, taps[tap], sums[i]);
        }
    }
}

/// Adds the products of one target, tap by tap, to `sums[0]`; four chains of sums hide the latency of a long kernel row.
#[cube]
fn walked<F: Float, B: Size, N: Size, M: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    sums: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    place: &Row,
    columns: &Walk,
    at: &Channels,
    #[comptime] plan: Blueprint,
) {
    let (chains, transposed) = comptime!((4usize, plan.transposed));
    let mut chain = Array::<Vector<F, N>>::new(chains);
    #[unroll]
    for i in 0..chains {
        chain[i] = Vector::new(F::new(0.0f32));
    }
    let even = columns.taps - columns.taps % chains;
    for j in 0..place.taps.taps {
        let row = place.line + geometry.vertical.source_at(&place.taps, j, transposed);
        let tap = geometry.vertical.tap_at(&place.taps, j, transposed);
        for block in 0..even / chains {
            #[unroll]
            for i in 0..chains {
                let k = block * chains + i;
                chain[i] = product::<F, B, N, M>(
                    source, weight, chain[i], geometry, columns, at, row, tap, k, transposed,
                );
            }
        }
        for k in even..columns.taps {
            chain[0] = product::<F, B, N, M>(
                source, weight, chain[0], geometry, columns, at, row, tap, k, transposed,
            );
        }
    }
    sums[0] += (chain[0] + chain[1]) + (chain[2] + chain[3]);
}

/// `sum` and the product of the `k`-th tap of a kernel row.
#[cube]
fn product<F: Float, B: Size, N: Size, M: Size>(
    source: &[Vector<F, B>],
    weight: &[Vector<F, B>],
    sum: Vector<F, N>,
    geometry: &Geometry,
    columns: &Walk,
    at: &Channels,
    row: usize,
    tap: usize,
    k: usize,
    #[comptime] transposed: bool,
) -> Vector<F, N> {
    let column = geometry.horizontal.source_at(columns, k, transposed);
    let tap = tap * geometry.horizontal.kernel + geometry.horizontal.tap_at(columns, k, transposed);
    let pixel = geometry
        .source
        .at(row * geometry.horizontal.source + column);
    let x = read::<F, B, N, M>(source, pixel, at, transposed);
    let wide_channels = geometry.channels * geometry.multiplier;
    fma(
        x,
        load::<F, B, N>(weight, tap * wide_channels + at.wide),
        sum,
    )
}

/// The source's vector for `N` output channels: the input spread over them, or, transposed, the output's gradient itself.
#[cube]
fn read<F: Float, B: Size, N: Size, M: Size>(
    source: &[Vector<F, B>],
    pixel: usize,
    at: &Channels,
    #[comptime] transposed: bool,
) -> Vector<F, N> {
    if comptime!(transposed) {
        load::<F, B, N>(source, pixel + at.wide)
    } else {
        spread::<F, B, N, M>(source, pixel + at.narrow)
    }
}

/// Applies the epilogue to the targets of a tile that exist, and stores them.
#[cube]
fn finish<F: Float, B: Size, N: Size, M: Size>(
    target: &mut [Vector<F, B>],
    bias: &[Vector<F, B>],
    centre: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    shift: &[Vector<F, B>],
    plus: &[Vector<F, B>],
    sums: &Array<Vector<F, N>>,
    geometry: &Geometry,
    place: &Row,
    tile: &Tile,
    at: &Channels,
    #[comptime] plan: Blueprint,
    #[comptime] epilogue: Epilogue,
    #[comptime] guarded: bool,
) {
    #[unroll]
    for i in 0..plan.tile {
        let mut exists = true.runtime();
        if comptime!(guarded) {
            exists = i >= tile.first && i < tile.last;
        }
        if exists {
            let pixel = place.target + tile.target + i;
            let to = geometry.target.at(pixel);
            let with = geometry.plus.at(pixel);
            if comptime!(plan.transposed) {
                let mut value = fold::<F, N, M>(sums[i]);
                if comptime!(epilogue.plus) {
                    value += load::<F, B, M>(plus, with + at.narrow);
                }
                store::<F, B, M>(target, to + at.narrow, value);
            } else {
                let mut value = sums[i];
                if comptime!(epilogue.bias) {
                    value += load::<F, B, N>(bias, at.wide);
                }
                if comptime!(epilogue.affine) {
                    let centred = value - load::<F, B, N>(centre, at.wide);
                    let shift = load::<F, B, N>(shift, at.wide);
                    value = fma(centred, load::<F, B, N>(scale, at.wide), shift);
                }
                if comptime!(epilogue.plus) {
                    value += load::<F, B, N>(plus, with + at.wide);
                }
                if comptime!(epilogue.relu) {
                    value = max(value, Vector::new(F::new(0.0f32)));
                }
                store::<F, B, N>(target, to + at.wide, value);
            }
        }
    }
}

/// What is applied to the sums in registers.
#[derive(Clone, Copy, Default)]
pub(super) struct After<'a> {
    pub bias: Option<&'a Tensor>,
    /// Centre, scale and shift of each output channel.
    pub affine: Option<[&'a Tensor; 3]>,
    pub plus: Option<&'a Tensor>,
    pub relu: bool,
}

/// Launches the kernel: `source` convolved into `target`, or, `transposed`, the output's gradient into the input's.
pub(super) fn launch_convolve(
    problem: &DepthwiseProblem,
    source: &Tensor,
    weight: &Tensor,
    target: &Tensor,
    after: After,
    transposed: bool,
) {
    let (client, dtype) = (source.client(), problem.dtype);
    let plan = Blueprint::new(problem, transposed, 4);
    // What the epilogue does not use is never read: the source stands in for it.
    let plus = after.plus.unwrap_or(source);
    let vectors = Vectors::new(problem, &[source, target, plus]);
    let lanes = &vectors.lanes;
    let (count, tiles) = (vectors.count(transposed), plan.tiles(problem));
    // A core walks whole rows; the many units of a GPU take a tile of one vector each.
    let [tiles_each, vectors_each] = match launch::is_cpu(client) {
        true => [tiles, count],
        false => [1, 1],
    };
    let rows = target.shape()[0] * target.shape()[1];
    let items = rows * tiles.div_ceil(tiles_each) * count.div_ceil(vectors_each);
    let grid = launch::grid(client, items);
    let epilogue = Epilogue {
        bias: after.bias.is_some(),
        affine: after.affine.is_some(),
        plus: planted::or("depthwise_plus", after.plus.is_some(), false),
        relu: after.relu,
    };
    let [centre, scale, shift] = after.affine.unwrap_or([weight; 3]);
    // SAFETY: `DepthwiseProblem` relates all extents, the walks stay inside of the source, tiles are cut to the target.
    unsafe {
        convolve::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            vectors.narrow,
            lanes.arg(source),
            lanes.arg(weight),
            lanes.arg(target),
            lanes.arg(after.bias.unwrap_or(weight)),
            lanes.arg(centre),
            lanes.arg(scale),
            lanes.arg(shift),
            lanes.arg(plus),
            lanes.anywhere(source),
            GeometryLaunch::new(
                axis(problem, 0, transposed),
                axis(problem, 1, transposed),
                source.view(),
                target.view(),
                plus.view(),
                problem.channels,
                problem.multiplier,
            ),
            rows,
            tiles,
            tiles_each,
            count,
            vectors_each,
            grid.run,
            plan,
            vectors.sharing,
            epilogue,
            dtype.elem(),
        );
    }
    launch::pace(client);
}
