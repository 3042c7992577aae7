//! The gradient with respect to the weight of groups of few channels, on a GPU.

use super::across::width;
use crate::affine::EpilogueArgs;
use crate::lanes::{View, load, store};
use crate::launch::GPU_UNITS;
use crate::matmul::implicit::{Gathered, launch_finish};
use crate::taps::Axis;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Taps of a row of the kernel that a unit adds up: with four input channels they take 48 registers.
const TAPS: usize = 3;
/// Pixels of a strip of a row at most: what a unit walks with the pixels under its taps in registers.
const STRIP: usize = 32;
/// Units that a launch is to have, and pixels of a partial sum at most.
const UNITS: usize = 1 << 16;
const MOST_PIXELS: usize = 1 << 12;
/// Units of a cube that share what they own, each with a run of strips of its own, and meet in shared memory: there are as many times fewer
/// partial sums.
const TEAM: usize = 4;

/// What a launch is laid over, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Span {
    /// Channels of a group that are read, and that the gradient has.
    channels: usize,
    columns: usize,
    /// Vectors of a pixel of the gradient, and of the channels of a group that are read.
    vectors: usize,
    inputs: usize,
    /// Runs of taps of a row of the kernel.
    runs: usize,
    /// Strips of a row, their pixels, those of all rows, and those of a part.
    row_strips: usize,
    strip: usize,
    strips: usize,
    part_strips: usize,
    /// Parts times what there is of the rest.
    items: usize,
}

/// One unit owns a vector of output channels, one of input channels, up to `taps` taps of a row of the kernel, and a run of strips of the
/// rows of the gradient; `team` units of a cube differ in the strips alone, and the first of them adds up what they have. Vectors of outputs
/// go fastest. `slides` where the taps of a pixel are those of the one before but for one.
#[cube(launch_unchecked)]
fn across_weight_kernel<S: Float, F: Float, P: Float, I: Size, B: Size>(
    x: &[Vector<S, I>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<P, B>],
    x_view: View,
    grad_view: View,
    vertical: Axis,
    horizontal: Axis,
    span: Span,
    #[comptime] taps: usize,
    #[comptime] slides: bool,
    #[comptime] team: usize,
    #[comptime] units: usize,
    #[define(S, F, P)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let unit = UNIT_POS as usize;
    let owners = comptime!(units / team);
    let (owner, member) = (unit % owners, unit / owners);
    let own = CUBE_POS * owners + owner;
    let item = min(own, span.items - 1);
    let width = I::value().comptime();
    let column = item % span.vectors * B::value();
    let rest = item / span.vectors;
    let input = rest % span.inputs * I::value();
    let first_tap = rest / span.inputs % span.runs * taps;
    let rest = rest / span.inputs / span.runs;
    let (tap_row, part) = (rest % vertical.kernel, rest / vertical.kernel);
    let channel = column / span.columns * span.channels + input;

    let mut acc = Array::<Vector<F, B>>::new(comptime!(taps * width));
    #[unroll]
    for i in 0..comptime!(taps * width) {
        acc[i] = Vector::<F, B>::new(F::new(0.0f32));
    }
    let first = (part * team + member) * span.part_strips;
    let from = min(first, span.strips);
    let to = min(from + span.part_strips, span.strips);
    for strip in from..to {
        let row = strip / span.row_strips;
        let begin = strip % span.row_strips * span.strip;
        let end = min(begin + span.strip, horizontal.target);
        let y = row % vertical.target * vertical.stride + tap_row;
        let inside = y >= vertical.padding && y < vertical.padding + vertical.source;
        let source = row / vertical.target * vertical.source + y - vertical.padding;
        let source = source * horizontal.source;
        let mut window = Array::<Vector<F, I>>::new(taps);
        if comptime!(slides) {
            #[unroll]
            for t in 1..taps {
                let at = begin + first_tap + comptime!(t - 1);
                window[t] = under::<S, F, I>(x, &x_view, &horizontal, source, at, channel, inside);
            }
        }
        for pixel in begin..end {
            let at = pixel * horizontal.stride + first_tap;
            if comptime!(slides) {
                #[unroll]
                for t in 1..taps {
                    window[comptime!(t - 1)] = window[t];
                }
                let at = at + comptime!(taps - 1);
                window[comptime!(taps - 1)] =
                    under::<S, F, I>(x, &x_view, &horizontal, source, at, channel, inside);
            } else {
                #[unroll]
                for t in 0..taps {
                    let at = at + t;
                    window[t] =
                        under::<S, F, I>(x, &x_view, &horizontal, source, at, channel, inside);
                }
            }
            let place = grad_view.at(row * horizontal.target + pixel) + column;
            let g = load::<S, F, B, B>(grad, place);
            #[unroll]
            for t in 0..taps {
                #[unroll]
                for lane in 0..width {
                    let i = comptime!(t * width + lane);
                    acc[i] = fma(Vector::<F, B>::new(window[t].extract(lane)), g, acc[i]);
                }
            }
        }
    }
    let mut slots = Shared::<[Vector<F, B>]>::new_slice(units);
    #[unroll]
    for t in 0..taps {
        let tap = (part * vertical.kernel + tap_row) * horizontal.kernel + first_tap + t;
        #[unroll]
        for lane in 0..width {
            let mut sum = acc[comptime!(t * width + lane)];
            if comptime!(team > 1) {
                slots[unit] = sum;
                sync_cube();
                #[unroll]
                for other in 1..team {
                    sum += slots[owner + comptime!(other * owners)];
                }
                sync_cube();
            }
            if member == 0 && own < span.items && first_tap + t < horizontal.kernel {
                let row = tap * span.channels + input + lane;
                let place = row * span.vectors * B::value() + column;
                store::<P, F, B, B>(out, place, sum);
            }
        }
    }
}

/// The channels from `channel` on of column `x`, padding counted, of the row of pixels from `source` on; zeros beside it, or where the row is
/// not `inside` the image.
#[cube]
fn under<S: Float, F: Float, I: Size>(
    images: &[Vector<S, I>],
    view: &View,
    horizontal: &Axis,
    source: usize,
    x: usize,
    channel: usize,
    inside: bool,
) -> Vector<F, I> {
    let there = inside && x >= horizontal.padding && x < horizontal.padding + horizontal.source;
    let place = view.at(source + x - horizontal.padding) + channel;
    let value = load::<S, F, I, I>(images, select(there, place, view.base));
    select(there, value, Vector::<F, I>::new(F::new(0.0f32)))
}

/// Launches the partial sums and, where there are several, their sum in a fixed order.
pub(super) fn launch_across_weight(gathered: &Gathered, x: &Tensor, grad: &Tensor, out: &Tensor) {
    let (client, dtype) = (x.client(), x.dtype());
    let &Gathered {
        groups,
        channels,
        columns,
        kernel: [down, right],
        target: [lines, across],
        batch,
        ..
    } = gathered;
    let item = width(client, dtype, columns, &[grad, out]);
    let read = width(client, dtype, channels, &[x]);
    let row_strips = across.div_ceil(STRIP);
    let strip = across.div_ceil(row_strips);
    let strips = batch * lines * row_strips;
    let most = client.properties().hardware.max_units_per_cube;
    let units = 1 << most.clamp(1, GPU_UNITS).ilog2();
    let team = TEAM.min(units);
    let parts = parts(gathered, strips, strip);
    let part_strips = strips.div_ceil(parts * team);
    let parts = strips.div_ceil(part_strips * team);
    let taps = right.min(TAPS);
    let (vectors, inputs, runs) = (
        groups * columns / item,
        channels / read,
        right.div_ceil(taps),
    );
    let items = vectors * inputs * runs * down * parts;
    let sums = match parts {
        1 => out.clone(),
        _ => {
            let shape = [parts, out.pixels(), groups * columns];
            Tensor::empty(client, &shape, dtype.accumulator())
        }
    };
    let cubes = launch::cubes(client, items.div_ceil(units / team));
    // SAFETY: callers relate the extents of `gathered` to the tensors; an element is read and written where these say it exists.
    unsafe {
        across_weight_kernel::launch_unchecked(
            client,
            cubes,
            CubeDim::new_1d(units as u32),
            read,
            item,
            x.buffer(read, 0),
            grad.buffer(item, 0),
            sums.buffer(item, 0),
            x.view(),
            grad.view(),
            gathered.axis(0),
            gathered.axis(1),
            SpanLaunch::new(
                channels,
                columns,
                vectors,
                inputs,
                runs,
                row_strips,
                strip,
                strips,
                part_strips,
                items,
            ),
            taps,
            gathered.stride[1] == 1,
            team,
            units,
            dtype.elems_into(&sums),
        );
    }
    launch::throttle(client);
    if parts > 1 {
        launch_finish(&sums, out, item, EpilogueArgs::default());
    }
}

/// Into how many parts the `strips` of a problem go: a function of its extents alone, as if its vectors had four elements.
fn parts(gathered: &Gathered, strips: usize, strip: usize) -> usize {
    let &Gathered {
        groups,
        channels,
        columns,
        kernel,
        source,
        target,
        batch,
        ..
    } = gathered;
    let weight = kernel[0] * kernel[1] * channels * groups * columns;
    let of_part = (weight * TEAM / (4 * 4 * TAPS)).max(1);
    let [source, target] = [source, target].map(|[h, w]| batch * h * w * groups);
    // All partial sums together are no more than the operands, unless that makes them too long.
    let by_size = (source * channels + target * columns) / weight;
    let fewest = (strips * strip).div_ceil(MOST_PIXELS * TEAM);
    UNITS
        .div_ceil(of_part)
        .min(by_size)
        .max(fewest)
        .clamp(1, strips)
}
