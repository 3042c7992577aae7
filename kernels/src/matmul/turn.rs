//! Weights turned for the gradient of their product's operand, on a GPU: what each core of a CPU does row by row would there read or write lines
//! of memory for the sake of single elements.
//!
//! **Computes** `turned[tap', o, g i' + i] = weight[tap, i, g o' + o]` for groups of `i'` channels in and `o'` out, where `tap'` is the tap that
//! the residues of a stride read at `tap`'s turn (`taps.rs`). A matrix is one tap of one group.
//!
//! **A cube owns** a tile of up to 32 by 32 of a group, or of as many whole groups as are 32 channels: it comes to shared memory along `o` and goes
//! along `i`. Rows of shared memory are an element longer than they need be, to keep units off each other's banks.

use crate::launch::GPU_UNITS;
use crate::taps::flipped_tap;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Elements of a tile along each of its sides at most, and of a row of it in shared memory.
const SIDE: usize = 32;
const PITCH: usize = SIDE + 1;

/// A weight `[kernel, channels in of a group, channels out]`, and the stride that the taps are sorted by.
pub(crate) struct Weight {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub groups: usize,
    /// Channels of a group.
    pub inputs: usize,
    pub outputs: usize,
}

/// What a launch is laid over, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Span {
    groups: usize,
    inputs: usize,
    outputs: usize,
    /// Groups, inputs and outputs of a tile.
    tile_groups: usize,
    tile_inputs: usize,
    tile_outputs: usize,
    /// Tiles along each.
    chunks: usize,
    down: usize,
    across: usize,
    kernel_h: usize,
    kernel_w: usize,
    stride_h: usize,
    stride_w: usize,
}

#[cube(launch_unchecked)]
fn turn_kernel<S: Float>(
    weight: &[S],
    turned: &mut [S],
    span: Span,
    #[comptime] units: usize,
    #[define(S)] _dtype: cubecl::ir::ElemType,
) {
    let unit = UNIT_POS as usize;
    let input = CUBE_POS % span.down * span.tile_inputs;
    let output = CUBE_POS / span.down % span.across * span.tile_outputs;
    let rest = CUBE_POS / span.down / span.across;
    let group = rest % span.chunks * span.tile_groups;
    let tap = rest / span.chunks;
    // Cubes past the last tap do nothing but meet.
    let there = tap < span.kernel_h * span.kernel_w;
    let mut tile = Shared::<[S]>::new_slice(comptime!(SIDE * PITCH));
    let along = span.tile_groups * span.tile_outputs;
    for step in 0..comptime!((SIDE * SIDE).div_ceil(units)) {
        let element = step * units + unit;
        let (i, column) = (element / along, element % along);
        let (g, o) = (column / span.tile_outputs, column % span.tile_outputs);
        let inside = i < span.tile_inputs && input + i < span.inputs && output + o < span.outputs;
        if there && inside && group + g < span.groups {
            let row = (tap * span.inputs + input + i) * span.groups + group + g;
            tile[column * PITCH + i] = weight[row * span.outputs + output + o];
        }
    }
    sync_cube();
    let row = flipped_tap(tap / span.kernel_w, span.kernel_h, span.stride_h);
    let tap = row * span.kernel_w + flipped_tap(tap % span.kernel_w, span.kernel_w, span.stride_w);
    let along = span.tile_groups * span.tile_inputs;
    for step in 0..comptime!((SIDE * SIDE).div_ceil(units)) {
        let element = step * units + unit;
        let (o, column) = (element / along, element % along);
        let (g, i) = (column / span.tile_inputs, column % span.tile_inputs);
        let inside = o < span.tile_outputs && input + i < span.inputs && output + o < span.outputs;
        if there && inside && group + g < span.groups {
            let row = (tap * span.outputs + output + o) * span.groups + group + g;
            turned[row * span.inputs + input + i] = tile[(g * span.tile_outputs + o) * PITCH + i];
        }
    }
}

/// Launches the turn of `weight` into `turned`.
pub(crate) fn launch_turn(of: &Weight, weight: &Tensor, turned: &Tensor) {
    let client = weight.client();
    let &Weight {
        kernel: [kernel_h, kernel_w],
        stride: [stride_h, stride_w],
        groups,
        inputs,
        outputs,
    } = of;
    let units = client.properties().hardware.max_units_per_cube;
    let units = units.clamp(1, GPU_UNITS) as usize;
    let tile_groups = (SIDE / inputs.max(outputs)).clamp(1, groups);
    let [tile_inputs, tile_outputs] = [inputs, outputs].map(|channels| channels.min(SIDE));
    let [down, across] = [inputs, outputs].map(|channels| channels.div_ceil(SIDE));
    let chunks = groups.div_ceil(tile_groups);
    let cubes = down * across * chunks * kernel_h * kernel_w;
    // SAFETY: callers pass tensors of the weight's extents; the taps are permuted, so that every element is written once, in bounds.
    unsafe {
        turn_kernel::launch_unchecked(
            client,
            launch::cubes(client, cubes),
            CubeDim::new_1d(units as u32),
            weight.arg(1),
            turned.arg(1),
            SpanLaunch::new(
                groups,
                inputs,
                outputs,
                tile_groups,
                tile_inputs,
                tile_outputs,
                chunks,
                down,
                across,
                kernel_h,
                kernel_w,
                stride_h,
                stride_w,
            ),
            units,
            weight.dtype().elem(),
        );
    }
    launch::throttle(client);
}
