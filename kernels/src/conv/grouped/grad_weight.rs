use super::GroupedProblem;
use super::across;
use super::across_weight::launch_across_weight;
use super::blueprint::Blueprint;
use super::forward::first_channel;
use super::patch::{Extent, GroupPacking, Patch, stage};
use super::weight_tile::{MOST_PIXELS, Variant, multiply};
use crate::lanes::{View, channel, load_part, store_part};
use crate::matmul::implicit::launch_weight;
use crate::pointwise::sum_rows;
use crate::prologue::{Entrance, Source};
use crate::taps::{Axis, AxisLaunch};
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Output rows staged at a time.
const BLOCK: usize = 8;
/// Work items, each a partial sum over a part of the pixels for a range of chunks: a function of the problem alone so that the
/// bits do not depend on the machine; enough for 32 cores where the weight allows it.
const ITEMS: usize = 32;
/// Elements of all partial sums together: their sum is then noise beside the products, however heavy the weight.
const MOST_ELEMENTS: usize = 1 << 18;
/// Partial sums that even a heavy weight is given.
const FEWEST_PARTIALS: usize = 4;

/// One unit owns a run of (partial sum, range of chunks). It stages a block of input rows and gathers the gradient's rows, pixel by
/// pixel for all vectors of the range; for a vector of output channels at a time it holds a tile of the weight's gradient in
/// registers over the block and adds it to the item's sums, so that no sum in a row is longer than [`MOST_PIXELS`]. The blocks are dealt
/// out evenly: an empty last partial sum would leave the unit that owns it idle.
#[cube(launch_unchecked)]
fn partial_sums<S: Float, F: Float, P: Float, I: Size, B: Size, N: Size, M: Size, T: Size>(
    x: &[Vector<S, I>],
    grad: &[Vector<S, B>],
    partials: &mut [Vector<P, B>],
    scratch: &mut [Vector<F, I>],
    gathered: &mut [Vector<F, N>],
    sums: &mut [Vector<F, N>],
    entrance: Entrance<F, I>,
    _unaligned: &[S],
    x_view: View,
    grad_view: View,
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    patch: Patch,
    inputs: usize,
    share: usize,
    channels: usize,
    chunks: usize,
    range: usize,
    vectors: usize,
    partial_count: usize,
    block: usize,
    run: usize,
    #[comptime] variant: Variant,
    #[define(S, F, P)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let (packing, used) = comptime!((variant.packing, variant.used));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let blocks = (vertical.target + block - 1) / block;
    let jobs = batch * blocks;
    let ranges = (chunks + range - 1) / range;
    let v = vertical.taps(0usize.runtime(), false);
    let h = horizontal.taps(0usize.runtime(), false);
    let size = vertical.kernel * horizontal.kernel * inputs;
    let edge = comptime!(variant.edge());
    let line = horizontal.target + 2 * edge;
    let scratch_start = ABSOLUTE_POS * patch.len;
    let gathered_start = ABSOLUTE_POS * range * vectors * block * line;
    let sums_start = ABSOLUTE_POS * range * vectors * size;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count * ranges);
    for index in first..last {
        let partial = index / ranges;
        let chunk0 = index % ranges * range;
        let chunk1 = min(chunk0 + range, chunks);
        for i in sums_start..sums_start + (chunk1 - chunk0) * vectors * size {
            sums[i] = zero;
        }
        let from = partial * jobs / partial_count;
        let to = (partial + 1) * jobs / partial_count;
        for job in from..to {
            let n = job / blocks;
            let t0 = job % blocks * block;
            let t1 = min(t0 + block, vertical.target);
            let extent = Extent {
                n,
                first: t0 * vertical.stride,
                rows: (t1 - t0 - 1) * vertical.stride + vertical.kernel,
                chunk: chunk0,
                chunks: chunk1 - chunk0,
            };
            stage::<S, F, I, N, M>(
                x,
                scratch,
                scratch_start,
                &patch,
                &extent,
                &x_view,
                &vertical,
                &horizontal,
                &v,
                &h,
                &entrance,
                comptime!(variant.prologue),
                packing,
            );
            for t in t0..t1 {
                let row = gathered_start + (t - t0) * line;
                let from = (n * vertical.target + t) * horizontal.target;
                for own in 0..(chunk1 - chunk0) * vectors {
                    #[unroll]
                    for i in 0..edge {
                        let to = row + own * block * line + i;
                        gathered[to] = zero;
                        gathered[to + edge + horizontal.target] = zero;
                    }
                }
                for ow in 0..horizontal.target {
                    let mut to = row + edge + ow;
                    for chunk in chunk0..chunk1 {
                        for v in 0..vectors {
                            let c = vector_channel::<N>(chunk, v, share, channels, packing, used);
                            let offset = grad_view.at(from + ow) + c;
                            gathered[to] = load_part::<S, F, B, N, T>(grad, offset, used);
                            to += block * line;
                        }
                    }
                }
            }
            for slot in chunk0 * vectors..chunk1 * vectors {
                let gathered_at = gathered_start + (slot - chunk0 * vectors) * block * line;
                let own = slot / vectors - chunk0;
                let xc = scratch_start + own * patch.chunk;
                let sum = sums_start + (slot - chunk0 * vectors) * size;
                for kh in 0..vertical.kernel {
                    let across = comptime!(variant.tile[0]);
                    for k in 0..horizontal.kernel / across {
                        let tap = kh * horizontal.kernel + k * across;
                        multiply::<F, I, N>(
                            &*scratch,
                            &*gathered,
                            sums,
                            xc + (kh * patch.width + k * across) * patch.pitch,
                            gathered_at,
                            sum + tap * inputs,
                            t1 - t0,
                            line,
                            inputs,
                            &patch,
                            &vertical,
                            &horizontal,
                            variant,
                        );
                    }
                }
            }
        }
        for slot in chunk0 * vectors..chunk1 * vectors {
            let (chunk, v) = (slot / vectors, slot % vectors);
            let c = vector_channel::<N>(chunk, v, share, channels, packing, used);
            let sum = sums_start + (slot - chunk0 * vectors) * size;
            let out = partial * size * channels + c;
            for i in 0..size {
                let value = sums[sum + i];
                store_part::<P, F, B, N, T>(partials, out + i * channels, value, used);
            }
        }
    }
}

/// The first output channel of the vector `v` of a chunk.
#[cube]
fn vector_channel<N: Size>(
    chunk: usize,
    v: usize,
    share: usize,
    channels: usize,
    #[comptime] packing: GroupPacking,
    #[comptime] used: usize,
) -> usize {
    if comptime!(packing.size() > 0) {
        channel::<N>(chunk, channels)
    } else {
        chunk * share + first_channel::<N>(v, share, used)
    }
}

/// Launches the partial sums and, where there are several, their sum in a fixed order.
pub(super) fn launch_grad_weight(
    problem: &GroupedProblem,
    source: &Source,
    grad: &Tensor,
    out: &Tensor,
) -> Result<(), KernelError> {
    let x = source.map();
    let client = x.client();
    if !launch::is_cpu(client) {
        let gathered = problem.gathered(false);
        if across::takes(problem) {
            launch_across_weight(&gathered, x, grad, out);
        } else {
            launch_weight(&gathered, x, grad, out);
        }
        return Ok(());
    }
    let [oh, ow] = problem.output();
    let [kh, kw, _, channels] = problem.weight_shape();
    let blueprint = Blueprint::new(problem, problem.group(), &[grad, out]);
    let (lanes, chunks) = (blueprint.lanes, blueprint.chunks);
    let stride = problem.options.stride;
    let variant = Variant::of(kw, stride[1], &blueprint, source.prologue());
    let block = (MOST_PIXELS / ow).clamp(1, BLOCK);
    let block = oh.div_ceil(oh.div_ceil(block));
    let jobs = problem.batch * oh.div_ceil(block);
    let partial_count = (MOST_ELEMENTS / out.len())
        .clamp(FEWEST_PARTIALS, ITEMS)
        .min(jobs);
    let range = if blueprint.overlaps() {
        chunks
    } else {
        chunks.div_ceil(ITEMS.div_ceil(partial_count))
    };
    let ranges = chunks.div_ceil(range);
    let patch_width = (ow - 1) * stride[1] + kw;
    let patch_rows = (block - 1) * stride[0] + kh;
    // The last tile of a kernel row may read up to a tile past the patch.
    let (patch_len, patch) = blueprint.patch(patch_rows, patch_width, range, variant.tile[1]);
    let copied = blueprint.copied(client, problem, chunks - (ranges - 1) * range);
    let grid = launch::grid(client, partial_count * ranges);
    let accumulator = problem.dtype.accumulator();
    let room = |shape: &[usize]| {
        let op = "grouped_conv grad_weight";
        Tensor::room(op, "scratch", client, shape, accumulator)
    };
    let of_unit = |len: usize| room(&[grid.units, len]);
    let scratch = of_unit(patch_len)?;
    let gathered =
        of_unit(range * blueprint.vectors * block * (ow + 2 * variant.edge()) * lanes.width)?;
    let sums = of_unit(range * blueprint.vectors * kh * kw * blueprint.inputs * lanes.width)?;
    let partials = match partial_count {
        1 => out.clone(),
        _ => room(&[partial_count, out.len()])?,
    };
    let axis = |axis: usize, target: usize| {
        let padding = problem.options.padding[axis];
        AxisLaunch::new(
            problem.input[axis],
            target,
            problem.kernel[axis],
            stride[axis],
            planted::or("grouped_wgrad_padding", padding, 0),
        )
    };
    // SAFETY: `GroupedProblem` relates all extents; the scratches are as large as the units need.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            1,
            lanes.item,
            lanes.width,
            copied,
            blueprint.piece,
            x.buffer(1, 0),
            lanes.arg(grad),
            lanes.arg(&partials),
            scratch.arg(1),
            gathered.arg(lanes.width),
            sums.arg(lanes.width),
            source.entrance(1, grad),
            lanes.unaligned(x),
            x.view(),
            grad.view(),
            problem.batch,
            axis(0, oh),
            axis(1, ow),
            patch,
            blueprint.inputs,
            blueprint.chunk[1],
            channels,
            chunks,
            range,
            blueprint.vectors,
            partial_count,
            block,
            grid.run,
            variant,
            problem.dtype.elems_into(&partials),
        );
    }
    launch::throttle(client);
    if partial_count > 1 {
        sum_rows(&partials, out);
    }
    Ok(())
}
