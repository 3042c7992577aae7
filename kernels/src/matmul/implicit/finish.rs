use crate::affine::{Epilogue, EpilogueArgs, Operands, apply};
use crate::cascade::sum_of;
use crate::lanes::{View, load, store};
use crate::launch::GPU_UNITS;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Partial sums that a unit adds up before it meets others, about, and units that meet at most.
const SUMS_OF_UNIT: usize = 8;
const MOST_UNITS: usize = 16;

/// The sum of the partial sums `[count, pixels, vectors]` in a fixed order, and what follows a product. `team` units share a vector, each with a
/// run of the sums, and meet in shared memory; neighbouring units have neighbouring vectors.
#[cube(launch_unchecked)]
fn finish_kernel<S: Float, F: Float, B: Size>(
    partials: &[Vector<F, B>],
    out: &mut [Vector<S, B>],
    operands: Operands<S, F, B>,
    out_view: View,
    span: usize,
    count: usize,
    pixels: usize,
    vectors: usize,
    team: usize,
    #[comptime] units: usize,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let unit = UNIT_POS as usize;
    let width = units / team;
    let all = pixels * vectors;
    let (own, member) = (CUBE_POS * width + unit % width, unit / width);
    let vector = min(own, all - 1);
    let run = (count + team - 1) / team;
    let first = min(member * run, count);
    let sums = min(first + run, count) - first;
    let mut slots = Shared::<[Vector<F, B>]>::new_slice(units);
    slots[unit] = sum_of::<F, F, B>(partials, first * all + vector, all, sums);
    let mut apart = team / 2;
    while apart > 0 {
        sync_cube();
        if member < apart {
            slots[unit] = slots[unit] + slots[unit + apart * width];
        }
        apart /= 2;
    }
    if member == 0 && own < all {
        let (pixel, channel) = (vector / vectors, vector % vectors * B::value());
        let mut value = slots[unit];
        if comptime!(epilogue.bias) {
            value += load::<S, F, B, B>(&operands.bias, channel);
        }
        let item = B::value().comptime();
        value = apply::<S, F, B, B, B>(value, &operands, pixel / span, channel, item, epilogue);
        store::<S, F, B, B>(out, out_view.at(pixel) + channel, value);
    }
}

/// Launches the sum of `partials` `[count, pixels, columns]` and what follows it into `out`. `item` elements are read and written at once.
pub(crate) fn launch_finish(
    partials: &Tensor,
    out: &Tensor,
    item: usize,
    epilogue_args: EpilogueArgs,
) {
    let client = out.client();
    let most = client.properties().hardware.max_units_per_cube;
    let units = 1 << most.clamp(1, GPU_UNITS).ilog2();
    let &[count, pixels, columns] = partials.shape() else {
        unreachable!("made here")
    };
    let team = count.div_ceil(SUMS_OF_UNIT).next_power_of_two();
    let team = team.min(MOST_UNITS).min(units);
    let vectors = columns / item;
    let cubes = (pixels * vectors).div_ceil(units / team);
    let residual = epilogue_args.residual.unwrap_or(out);
    // SAFETY: callers pass partial sums of as many elements as `out`, `item` divides what they lie at, and the teams divide a cube.
    unsafe {
        finish_kernel::launch_unchecked(
            client,
            launch::cubes(client, cubes),
            CubeDim::new_1d(units as u32),
            item,
            partials.buffer(item, 0),
            out.buffer(item, 0),
            epilogue_args.operands(item, partials, out, 1),
            out.view(),
            out.pixels() / residual.pixels().max(1),
            count,
            pixels,
            vectors,
            team,
            units,
            epilogue_args.epilogue(),
            out.dtype().elems(),
        );
    }
    launch::throttle(client);
}
