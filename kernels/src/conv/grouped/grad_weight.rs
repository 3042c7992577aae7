use super::patch::{Group, GroupLaunch, Place, Spread, item, pixel_len, stage};
use super::{Blueprint, GroupedProblem};
use crate::conv::dense::stage::{Axis, AxisLaunch};
use crate::lanes::{View, channel, load, store};
use crate::pointwise::sum_rows;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Output rows staged at a time.
const BLOCK: usize = 8;
/// Work items, each a partial sum over a part of the pixels for a part of the output channels: a function of the problem alone so
/// that the bits do not depend on the machine; enough for 32 cores.
const ITEMS: usize = 32;
/// Elements of all partial sums together: their sum is then noise beside the products, however heavy the weight.
const MOST_ELEMENTS: usize = 1 << 18;

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    /// Neighbouring (column, input channel) pairs of one kernel row in a tile; with `walk`, input channels.
    taps: usize,
    /// The kernel's width where each column of the patch is loaded once for all the taps that it meets, 0 where it is not.
    walk: usize,
    spread: Spread,
    /// Whether a last vector shares channels with its neighbour, and stores only those of its own.
    overlaps: bool,
}

/// One unit owns a run of (partial sum, range of vectors of output channels). For a vector at a time it stages a block of input
/// rows and of gradient rows; a tile of the weight's gradient is held in registers over the block and then added to the item's
/// sums, so that no sum in a row is longer than a block.
#[cube(launch_unchecked)]
fn partial_sums<F: Float, I: Size, B: Size, N: Size, M: Size>(
    x: &[Vector<F, I>],
    grad: &[Vector<F, B>],
    partials: &mut [Vector<F, B>],
    patches: &mut [Vector<F, I>],
    staged: &mut [Vector<F, N>],
    sums: &mut [Vector<F, N>],
    _anywhere: &[F],
    x_view: View,
    grad_view: View,
    batch: usize,
    vertical: Axis,
    horizontal: Axis,
    group: Group,
    channels: usize,
    vectors: usize,
    slots: usize,
    slots_per_item: usize,
    partial_count: usize,
    block: usize,
    patch_width: usize,
    patch_len: usize,
    run: usize,
    #[comptime] variant: Variant,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let spread = variant.spread.comptime();
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let blocks = (vertical.target + block - 1) / block;
    let per_partial = (batch * blocks + partial_count - 1) / partial_count;
    let ranges = (slots + slots_per_item - 1) / slots_per_item;
    let v = vertical.taps(0usize.runtime(), false);
    let h = horizontal.taps(0usize.runtime(), false);
    let line = horizontal.kernel * group.source;
    let size = vertical.kernel * line;
    let edge = comptime!(max(variant.walk, 1) - 1);
    let staged_width = horizontal.target + 2 * edge;
    let patch_start = ABSOLUTE_POS * patch_len;
    let staged_start = ABSOLUTE_POS * block * staged_width;
    let sums_start = ABSOLUTE_POS * slots_per_item * size;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count * ranges);
    for index in first..last {
        let partial = index / ranges;
        let slot0 = index % ranges * slots_per_item;
        let slot1 = min(slot0 + slots_per_item, slots);
        for i in sums_start..sums_start + (slot1 - slot0) * size {
            sums[i] = zero;
        }
        let from = min(partial * per_partial, batch * blocks);
        let to = min(from + per_partial, batch * blocks);
        for job in from..to {
            let n = job / blocks;
            let t0 = job % blocks * block;
            let t1 = min(t0 + block, vertical.target);
            for slot in slot0..slot1 {
                let start = first_channel::<N>(slot, vectors, channels, &group, spread);
                // The vectors of one group read one patch.
                if slot == slot0 || slot % vectors == 0 {
                    let place = Place {
                        n,
                        first: t0 * vertical.stride,
                        channel: start,
                    };
                    stage::<F, I, N, M>(
                        x,
                        patches,
                        patch_start,
                        &place,
                        (t1 - t0 - 1) * vertical.stride + vertical.kernel,
                        patch_width,
                        &x_view,
                        &group,
                        &vertical,
                        &horizontal,
                        &v,
                        &h,
                        spread,
                    );
                }
                for t in t0..t1 {
                    let to = staged_start + (t - t0) * staged_width;
                    let from = (n * vertical.target + t) * horizontal.target;
                    #[unroll]
                    for i in 0..edge {
                        staged[to + i] = zero;
                        staged[to + edge + horizontal.target + i] = zero;
                    }
                    for ow in 0..horizontal.target {
                        staged[to + edge + ow] =
                            load::<F, B, N>(grad, grad_view.at(from + ow) + start);
                    }
                }
                let sum = sums_start + (slot - slot0) * size;
                for kh in 0..vertical.kernel {
                    let row = patch_start + kh * patch_width * pixel_len::<N>(&group, spread);
                    multiply::<F, I, N>(
                        &*patches,
                        &*staged,
                        sums,
                        row,
                        staged_start,
                        sum + kh * line,
                        t1 - t0,
                        patch_width,
                        staged_width,
                        &vertical,
                        &horizontal,
                        &group,
                        variant,
                    );
                }
            }
        }
        for slot in slot0..slot1 {
            let start = first_channel::<N>(slot, vectors, channels, &group, spread);
            let sum = sums_start + (slot - slot0) * size;
            let out = partial * size * channels + start;
            let own = if comptime!(spread.is_vector()) {
                slot * N::value()
            } else {
                slot / vectors * group.target + slot % vectors * N::value()
            };
            for i in 0..size {
                if comptime!(variant.overlaps) {
                    for lane in own - start..N::value() {
                        let value = Vector::<F, Const<1>>::new(sums[sum + i].extract_dynamic(lane));
                        store::<F, B, Const<1>>(partials, out + i * channels + lane, value);
                    }
                } else {
                    store::<F, B, N>(partials, out + i * channels, sums[sum + i]);
                }
            }
        }
    }
}

/// The first output channel of a slot: of a vector across groups, or of a vector of one group.
#[cube]
fn first_channel<N: Size>(
    slot: usize,
    vectors: usize,
    channels: usize,
    group: &Group,
    #[comptime] spread: Spread,
) -> usize {
    if comptime!(spread.is_vector()) {
        channel::<N>(slot, channels)
    } else {
        slot / vectors * group.target + channel::<N>(slot % vectors, group.target)
    }
}

/// Adds the products of one kernel row with `rows` rows of the gradient to the sums from `sum` on.
#[cube]
fn multiply<F: Float, I: Size, N: Size>(
    patches: &[Vector<F, I>],
    staged: &[Vector<F, N>],
    sums: &mut [Vector<F, N>],
    row: usize,
    staged_start: usize,
    sum: usize,
    rows: usize,
    patch_width: usize,
    staged_width: usize,
    vertical: &Axis,
    horizontal: &Axis,
    group: &Group,
    #[comptime] variant: Variant,
) {
    let spread = variant.spread.comptime();
    let taps = variant.taps.comptime();
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let pixel = pixel_len::<N>(group, spread);
    let unit = if comptime!(spread.is_vector()) {
        N::value()
    } else {
        1usize
    };
    if comptime!(variant.walk > 0) {
        let width = variant.walk.comptime();
        for tile in 0..(group.source + comptime!(taps - 1)) / taps {
            let mut acc = Array::<Vector<F, N>>::new(comptime!(width * taps));
            #[unroll]
            for q in 0..comptime!(width * taps) {
                acc[q] = zero;
            }
            for t in 0..rows {
                let xb = row + t * patch_width * pixel + tile * taps * unit;
                let gb = staged_start + t * staged_width + comptime!(width - 1);
                for column in 0..horizontal.target + comptime!(width - 1) {
                    let mut g = Array::<Vector<F, N>>::new(width);
                    #[unroll]
                    for k in 0..width {
                        g[k] = staged[gb + column - k];
                    }
                    #[unroll]
                    for i in 0..taps {
                        let at = xb + column * pixel + i * unit;
                        let value = item::<F, I, N>(patches, at, spread);
                        #[unroll]
                        for k in 0..width {
                            acc[k * taps + i] = fma(value, g[k], acc[k * taps + i]);
                        }
                    }
                }
            }
            #[unroll]
            for i in 0..taps {
                if tile * taps + i < group.source {
                    #[unroll]
                    for k in 0..width {
                        sums[sum + k * group.source + tile * taps + i] += acc[k * taps + i];
                    }
                }
            }
        }
    } else {
        let line = horizontal.kernel * group.source;
        for tile in 0..(line + comptime!(taps - 1)) / taps {
            let mut acc = Array::<Vector<F, N>>::new(taps);
            #[unroll]
            for q in 0..taps {
                acc[q] = zero;
            }
            for t in 0..rows {
                let xb = row + t * vertical.stride * patch_width * pixel + tile * taps * unit;
                let gb = staged_start + t * staged_width;
                for ow in 0..horizontal.target {
                    let g = staged[gb + ow];
                    #[unroll]
                    for q in 0..taps {
                        let at = xb + ow * horizontal.stride * pixel + q * unit;
                        acc[q] = fma(item::<F, I, N>(patches, at, spread), g, acc[q]);
                    }
                }
            }
            #[unroll]
            for q in 0..taps {
                if tile * taps + q < line {
                    sums[sum + tile * taps + q] += acc[q];
                }
            }
        }
    }
}

/// The tile that covers `count` with the fewest in vain among `1..=most`, then the largest.
fn tile(count: usize, most: usize) -> usize {
    (1..=most)
        .rev()
        .min_by_key(|&tile| count.div_ceil(tile) * (tile + 2))
        .unwrap_or(1)
}

/// Launches the partial sums and, where there are several, their sum in a fixed order.
pub(super) fn launch_grad_weight(
    problem: &GroupedProblem,
    x: &Tensor,
    grad: &Tensor,
    out: &Tensor,
) {
    let client = x.client();
    let [oh, ow] = problem.output();
    let [kh, kw, group_in, co] = problem.weight_shape();
    let blueprint = Blueprint::new(problem, problem.group(), &[grad, out]);
    let lanes = blueprint.lanes;
    let stride = problem.options.stride;
    let walk = if kw == 3 && stride == [1, 1] { 3 } else { 0 };
    let taps = match walk {
        0 => tile(kw * group_in, 24),
        _ => tile(group_in, 8),
    };
    let block = BLOCK.min(oh);
    let patch_width = (ow - 1) * stride[1] + kw;
    let patch_rows = (block - 1) * stride[0] + kh;
    // The last tile of a kernel row may read up to a tile past the patch.
    let patch_len = blueprint.patch_len(patch_rows * patch_width) + blueprint.unit() * taps;
    let slots = blueprint.slots();
    let jobs = problem.batch * oh.div_ceil(block);
    let partial_count = (MOST_ELEMENTS / out.len()).clamp(1, ITEMS).min(jobs);
    let slots_per_item = slots.div_ceil(ITEMS.div_ceil(partial_count));
    let ranges = slots.div_ceil(slots_per_item);
    let grid = launch::grid(client, partial_count * ranges);
    let edge = if walk > 0 { walk - 1 } else { 0 };
    let width = lanes.width;
    let empty = |len: usize| Tensor::empty(client, &[grid.units * len], problem.dtype);
    let patches = empty(patch_len);
    let staged = empty(block * (ow + 2 * edge) * width);
    let sums = empty(slots_per_item * kh * kw * group_in * width);
    let partials = match partial_count {
        1 => out.clone(),
        _ => Tensor::empty(client, &[partial_count, out.len()], problem.dtype),
    };
    let axis = |axis: usize, target: usize| {
        AxisLaunch::new(
            problem.input[axis],
            target,
            problem.kernel[axis],
            stride[axis],
            problem.options.padding[axis],
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
            width,
            blueprint.copied,
            x.buffer(1, 0),
            lanes.arg(grad),
            lanes.arg(&partials),
            patches.arg(1),
            staged.arg(width),
            sums.arg(width),
            lanes.anywhere(x),
            x.view(),
            grad.view(),
            problem.batch,
            axis(0, oh),
            axis(1, ow),
            GroupLaunch::new(blueprint.group[0], blueprint.group[1]),
            co,
            blueprint.vectors(),
            slots,
            slots_per_item,
            partial_count,
            block,
            patch_width,
            patch_len,
            grid.run,
            Variant {
                taps,
                walk,
                spread: blueprint.spread,
                overlaps: blueprint.overlaps(),
            },
            problem.dtype.elem(),
        );
    }
    launch::pace(client);
    if partial_count > 1 {
        sum_rows(&partials, out);
    }
}
