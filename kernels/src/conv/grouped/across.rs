//! Groups of few channels on a GPU: no tile has room for whole groups and no other, so a unit has a vector of output channels of one group, and
//! neighbouring units have neighbouring vectors, whatever groups these belong to.

use super::GroupedProblem;
use crate::affine::{Epilogue, EpilogueArgs, Operands, apply};
use crate::lanes::{View, store};
use crate::matmul::implicit::Gathered;
use crate::taps::Axis;
use crate::{Client, DType, Tensor, launch};
use cubecl::prelude::*;

/// Outputs of a unit, neighbours in a row: each load of the weight serves them all, and more of them leave fewer than half of a
/// multiprocessor's warps room for their registers.
const RUN: usize = 4;
/// Channels of a group from which on a tile of 64 columns holds more of one group than it leaves empty.
const MANY: usize = 49;

/// Whether all groups of `problem` go side by side.
pub(super) fn takes(problem: &GroupedProblem) -> bool {
    problem.groups > 1 && problem.group().iter().all(|&channels| channels < MANY)
}

/// The widest vector of up to four elements that divides `channels` and where all of `tensors` lie.
pub(super) fn width(client: &Client, dtype: DType, channels: usize, tensors: &[&Tensor]) -> usize {
    launch::width_of(client, dtype, channels, tensors).min(4)
}

/// What a launch is laid over, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Span {
    /// Rows of outputs of one residue of the stride in an image, and runs of such a row.
    lines: usize,
    runs: usize,
    /// Vectors of a pixel of the output.
    vectors: usize,
    /// Runs of vectors in all.
    items: usize,
    /// Channels of a group that are read, and that are written.
    channels: usize,
    columns: usize,
    batch: usize,
}

/// One unit owns a vector of channels of up to four neighbouring outputs of a row, or, transposed, of one residue of the stride; vectors go
/// fastest, then runs, rows, images, residues.
#[cube(launch_unchecked)]
fn across_kernel<S: Float, F: Float, I: Size, B: Size>(
    x: &[Vector<S, I>],
    weight: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    operands: Operands<S, F, B>,
    x_view: View,
    out_view: View,
    vertical: Axis,
    horizontal: Axis,
    span: Span,
    #[comptime] transposed: bool,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    if ABSOLUTE_POS < span.items {
        let run = comptime!(RUN);
        let zero = Vector::<F, B>::new(F::new(0.0f32));
        let column = ABSOLUTE_POS % span.vectors * B::value();
        let rest = ABSOLUTE_POS / span.vectors;
        let first = rest % span.runs * run;
        let line = rest / span.runs % span.lines;
        let slice = rest / span.runs / span.lines;
        let image = slice % span.batch;
        let (mut residue_v, mut residue_h) = (0usize.runtime(), 0usize.runtime());
        if transposed {
            residue_v = slice / span.batch / horizontal.stride;
            residue_h = slice / span.batch % horizontal.stride;
        }
        let v = vertical.taps(residue_v, transposed);
        let h = horizontal.taps(residue_h, transposed);
        let channel = column / span.columns * span.channels;

        let mut acc = Array::<Vector<F, B>>::new(run);
        #[unroll]
        for p in 0..run {
            acc[p] = zero;
        }
        let reach = (run - 1) * h.in_step + h.up + h.taps;
        let left = first * h.in_step + h.up;
        let clear = left >= h.lead && first * h.in_step + reach <= h.lead + horizontal.source;
        for down in 0..v.taps {
            let y = line * v.in_step + v.up + down;
            let inside = y >= v.lead && y < v.lead + vertical.source;
            let row = x_view.at((image * vertical.source + y - v.lead) * horizontal.source);
            let tap = (v.start + down) * horizontal.kernel + h.start;
            for right in 0..h.taps {
                let from = (tap + right) * span.channels * span.vectors + column / B::value();
                let mut places = Array::<usize>::new(run);
                let mut there = Array::<bool>::new(run);
                if inside && clear {
                    // No tap of the run is beside the image: most units need not ask for each.
                    let place = row + (left + right - h.lead) * x_view.pitch + channel;
                    #[unroll]
                    for p in 0..run {
                        there[p] = true.runtime();
                        places[p] = (place + p * h.in_step * x_view.pitch) / I::value();
                    }
                    add_channels::<S, F, I, B>(
                        x, weight, &span, &places, &there, from, true, &mut acc,
                    );
                } else {
                    #[unroll]
                    for p in 0..run {
                        let x = left + p * h.in_step + right;
                        let place = row + (x - h.lead) * x_view.pitch + channel;
                        there[p] = inside && x >= h.lead && x < h.lead + horizontal.source;
                        places[p] = select(there[p], place, x_view.base) / I::value();
                    }
                    add_channels::<S, F, I, B>(
                        x, weight, &span, &places, &there, from, false, &mut acc,
                    );
                }
            }
        }
        let y = line * v.out_step + residue_v;
        #[unroll]
        for p in 0..run {
            let x = (first + p) * h.out_step + residue_h;
            if y < vertical.target && x < horizontal.target {
                let pixel = (image * vertical.target + y) * horizontal.target + x;
                let item = B::value().comptime();
                let value = acc[p];
                let value = apply::<S, F, B, B, B>(value, &operands, pixel, column, item, epilogue);
                store::<S, F, B, B>(out, out_view.at(pixel) + column, value);
            }
        }
    }
}

/// Adds to `acc` the products of the group's channels, the vectors from `places` on, and the weights, those from `from` on; of zeros where a
/// pixel is not `there`, unless all are `inside`.
#[cube]
fn add_channels<S: Float, F: Float, I: Size, B: Size>(
    x: &[Vector<S, I>],
    weight: &[Vector<S, B>],
    span: &Span,
    places: &Array<usize>,
    there: &Array<bool>,
    from: usize,
    #[comptime] inside: bool,
    acc: &mut Array<Vector<F, B>>,
) {
    let width = I::value().comptime();
    let mut from = from;
    for i in 0..span.channels / I::value() {
        let mut values = Array::<Vector<F, I>>::new(comptime!(RUN));
        #[unroll]
        for p in 0..comptime!(RUN) {
            let mut value = Vector::<F, I>::cast_from(x[places[p] + i]);
            if comptime!(!inside) {
                value = select(there[p], value, Vector::<F, I>::new(F::new(0.0f32)));
            }
            values[p] = value;
        }
        #[unroll]
        for lane in 0..width {
            let w = Vector::<F, B>::cast_from(weight[from]);
            from += span.vectors;
            #[unroll]
            for p in 0..comptime!(RUN) {
                acc[p] = fma(Vector::<F, B>::new(values[p].extract(lane)), w, acc[p]);
            }
        }
    }
}

/// Launches `x` convolved into `out` with `weight`, flipped where `transposed`, and what follows it.
pub(super) fn launch_across(
    gathered: &Gathered,
    x: &Tensor,
    weight: &Tensor,
    out: &Tensor,
    transposed: bool,
    epilogue_args: EpilogueArgs,
) {
    let (client, dtype) = (x.client(), x.dtype());
    let &Gathered {
        groups,
        channels,
        columns,
        batch,
        ..
    } = gathered;
    let residual = epilogue_args.residual.unwrap_or(out);
    let item = width(client, dtype, columns, &[weight, out, residual]);
    let read = width(client, dtype, channels, &[x]);
    let residues = if transposed { gathered.stride } else { [1, 1] };
    let [lines, across] = [0, 1].map(|axis| gathered.target[axis].div_ceil(residues[axis]));
    let (vectors, runs) = (groups * columns / item, across.div_ceil(RUN));
    let items = vectors * runs * lines * batch * residues[0] * residues[1];
    let grid = launch::grid(client, items);
    // Every element of the result is written by the unit that read what is added to it, so that the residual may lie there.
    let operands = epilogue_args.operands(item, weight, out, 2);
    // SAFETY: callers relate the extents of `gathered` to the tensors; an element is read and written where these say it exists.
    unsafe {
        across_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            read,
            item,
            x.buffer(read, 0),
            weight.buffer(item, 0),
            out.buffer(item, 0),
            operands,
            x.view(),
            out.view(),
            gathered.axis(0),
            gathered.axis(1),
            SpanLaunch::new(lines, runs, vectors, items, channels, columns, batch),
            transposed,
            epilogue_args.epilogue(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
