//! Winograd's minimal filtering of 3 x 3 kernels of stride 1 on a CPU, forward and transposed.
//!
//! **Computes** a tile of `m x m` outputs, `m` 2 or 4, from `m + 2` by `m + 2` inputs `d` and the taps `g` as
//! `A^T (sum over channels of (G g G^T) * (B^T d B)) A`, `*` element by element: `(m + 2)^2` products for `9 m^2` (Lavin and Gray 2016, "Fast
//! algorithms for convolutional neural networks", sections 4.1 and 4.3). The matrices are those of a product of polynomials that is evaluated
//! at `m + 1` points and at infinity: 0, 1 and -1 for 2 outputs; 0, ±3/4 and ±3/2 for 4.
//!
//! **Map.** This file cuts and launches. `kernel.rs` walks blocks, transforms the weight and multiplies; `tiles.rs` says where tiles lie and
//! transforms their inputs; `output.rs` transforms back, applies what follows and stores; `transform.rs` has the transforms;
//! `weight/` is the gradient with respect to the weight; `reference.rs` the same in `f64`, and the magnitudes that errors are measured by.
//!
//! **One unit owns** a run of (block of tiles, part of the channels' groups). A group is the two or three vectors of output channels of one
//! product; for each of them the weight is transformed anew into a panel that the block's tiles share, so that nothing of the transformed
//! weight, four times as large as the weight, is ever kept: 0.35 ms of 3.1 for 256 to 256 channels. The gradient with respect to the input
//! is the same kernel, its weight flipped before.
//!
//! **Sums** are made over the channels in order at each point, then over points: a function of the shape alone, the same on any number of
//! cores.
//!
//! **Errors.** A rounding of relative size `u` anywhere reaches the result multiplied by no more than the absolute values of the matrices and
//! operands after it (Barabasz et al. 2020, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks",
//! derive bounds of this kind). So the error is measured in units of rounding of `|A|^T (sum of (|G| |g| |G|^T) * (|B|^T |d| |B|)) |A|`, which is 7 times the
//! direct sum's magnitude for 2 outputs and 52 times for 4. The tests allow one such unit, and find a tenth for 64 channels and more: roundings
//! cancel. Against the direct sum the root of the mean square error is 0.7 times as large for 2 outputs, whose sums are shorter, and 1.7 to 2.0
//! times for 4 (2.5 times for 16 channels, whose direct sums are short). With the customary points 0, ±1, ±2 it would be 3.6 times, with 0,
//! ±1/2, ±2 2.5 times, and with 0, ±1, ±1/2 4 times: uniform operands, a model of the sums in f32, which chose the points.
//! It is no longer bounded output by output: one of a tile that reads small inputs alone errs with its large neighbours.
//!
//! **Not numbers.** A NaN or an infinity would spread over its tile, and a transform may overflow where the sum does not. Both leave an output
//! of the tile that is not finite; then that vector of the tile is summed directly, with the direct kernel's bits.
//!
//! **Tried and lost.** Tiles of 12 x 2 or 11 x 2 of a product, whose sums are as many as registers: 17 x 14 x 14 x 256 to 256 in 4.1 to 9 ms where
//! 8 x 2 takes 3.1; a panel for a row of points at a time, with the weight read six times, 2.2 ms of transforms instead of 0.35.

mod kernel;
mod output;
pub mod reference;
mod tiles;
mod transform;
mod weight;

pub(super) use weight::launch_winograd_weight;

use super::forward::{CLASS, class};
use super::{ConvProblem, wide};
use crate::affine::EpilogueArgs;
use crate::lanes::Lanes;
use crate::prologue::Source;
use crate::tune::Knob;
use crate::{DType, KernelError, Tensor, launch, planted};
use tiles::TilesLaunch;

/// Tiles of outputs that are multiplied together: 8 by two or three vectors leave registers for their operands.
const ROWS: usize = 8;
/// Tiles of a block, about: they share each transform of the weight.
const MOST_TILES: usize = 96;
/// The same, as it may be chosen.
const BLOCK: Knob<8, 1> = Knob {
    op: "conv winograd",
    class: CLASS,
    sizes: [("tiles", &[32, 48, 64, 96, 128, 192, 256])],
};
/// Tiles below which the channels are shared out instead.
const FEWEST_TILES: usize = 48;
/// Bytes of a block's transformed inputs at most.
const BLOCK_BYTES: usize = 1 << 22;
/// Work items that each core is to have at least, as long as groups of channels can be told apart.
const ITEMS_OF_UNIT: usize = 4;

/// The vectors of output channels that are multiplied together.
pub(super) fn tile_vectors(vectors: usize) -> usize {
    wide::tile_vectors(vectors).unwrap_or(vectors)
}

/// How a launch is cut; none of it changes the order of a sum.
struct Cut {
    /// Tiles of a block.
    block: usize,
    blocks: usize,
    /// Parts of the channels' groups.
    splits: usize,
}

impl Cut {
    /// For `tiles` tiles, each of `bytes` bytes of transformed inputs, and `groups` groups of channels.
    fn of(units: usize, tiles: usize, most: usize, bytes: usize, groups: usize) -> Self {
        let most = (BLOCK_BYTES / bytes).clamp(ROWS, most);
        let mut blocks = tiles.div_ceil(most);
        let even = blocks.next_multiple_of(units);
        if tiles / even >= FEWEST_TILES {
            blocks = even;
        }
        let block = tiles.div_ceil(blocks);
        let blocks = tiles.div_ceil(block);
        let splits = if blocks.is_multiple_of(units) {
            1
        } else {
            (ITEMS_OF_UNIT * units).div_ceil(blocks).min(groups)
        };
        Self {
            block,
            blocks,
            // No part is without a group.
            splits: groups.div_ceil(groups.div_ceil(splits)),
        }
    }
}

/// Launches the kernel for tiles of `outputs` by `outputs`; the other arguments are those of [`super::forward::launch_tiled`].
pub(super) fn launch_winograd(
    problem: &ConvProblem,
    source: &Source,
    weight: &Tensor,
    target: &Tensor,
    transposed: bool,
    epilogue_args: EpilogueArgs,
    outputs: usize,
) -> Result<(), KernelError> {
    let (entered, source) = (source, source.map());
    let client = source.client();
    let [in_channels, out_channels] = [source, target].map(|map| map.shape()[3]);
    let side = |map: &Tensor, axis: usize| map.shape()[1 + axis];
    let residual = epilogue_args.residual.unwrap_or(target);
    let lanes = Lanes::of(client, problem.dtype, out_channels, &[target, residual]);
    let in_lanes = Lanes::of(client, problem.dtype, in_channels, &[source]);
    let vectors = tile_vectors(lanes.vectors());
    let groups = lanes.vectors().div_ceil(vectors);
    let [down, across] = [0, 1].map(|axis| side(target, axis).div_ceil(outputs));
    let tiles = problem.batch * down * across;
    let points = (outputs + 2) * (outputs + 2);
    let accumulator = problem.dtype.accumulator();
    let class = class(problem, transposed);
    let [most] = BLOCK.choose(problem.dtype, class, [MOST_TILES], |_| true);
    let Cut {
        block,
        blocks,
        splits,
    } = Cut::of(
        launch::grid(client, 1).units,
        tiles,
        most,
        points * in_channels * accumulator.size(),
        groups,
    );
    let most_tiles = block.next_multiple_of(ROWS);
    // Planes a power of two apart would share the sets of a cache.
    let plane = block * in_channels + 16;
    let grid = launch::grid(client, blocks * splits);
    let room = |shape: &[usize]| Tensor::room("conv", "scratch", client, shape, accumulator);
    let inputs = room(&[grid.units, points, plane])?;
    let room_of = |depth: usize| room(&[grid.units, points, (depth * vectors + 1) * lanes.width]);
    let panels = room_of(in_channels)?;
    let sums = room_of(most_tiles)?;
    let places = Tensor::room(
        "conv",
        "scratch",
        client,
        &[grid.units, most_tiles],
        DType::F32,
    )?;
    let before = problem.options.padding.map(|padding| {
        let padding = planted::or("conv_padding", padding, padding + 1);
        if transposed {
            2usize.saturating_sub(padding)
        } else {
            padding
        }
    });
    let map = TilesLaunch::new(
        side(source, 0),
        side(source, 1),
        side(target, 0),
        side(target, 1),
        down,
        across,
        before[0],
        before[1],
    );
    // SAFETY: `ConvProblem` relates all extents; inputs, panels and sums hold what a unit has of a block.
    unsafe {
        kernel::winograd::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            in_lanes.width,
            in_lanes.arg(source),
            lanes.arg(weight),
            lanes.arg(target),
            inputs.arg(1),
            panels.arg(lanes.width),
            sums.arg(lanes.width),
            places.arg(1),
            epilogue_args.operands(lanes.item, weight, target, 2),
            entered.entrance(lanes.item, weight),
            lanes.unaligned(source),
            target.view(),
            map,
            tiles,
            in_channels,
            out_channels,
            lanes.vectors(),
            block,
            splits,
            plane,
            most_tiles,
            grid.run,
            outputs,
            ROWS,
            vectors,
            entered.prologue(),
            epilogue_args.epilogue(),
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_and_group_has_one_item_and_no_core_is_idle_where_there_is_work_for_it() {
        for units in [1, 2, 3, 8, 64] {
            for tiles in (1..400).chain([4096, 100_000]) {
                for groups in [1, 2, 3, 16] {
                    let Cut {
                        block,
                        blocks,
                        splits,
                    } = Cut::of(units, tiles, MOST_TILES, 36 * 256 * 4, groups);
                    assert!((blocks - 1) * block < tiles && tiles <= blocks * block);
                    let share = groups.div_ceil(splits);
                    assert!((splits - 1) * share < groups && groups <= splits * share);
                    let enough = units.min(groups);
                    assert!(
                        blocks * splits >= enough,
                        "{blocks} x {splits} on {units} units"
                    );
                }
            }
        }
    }
}
