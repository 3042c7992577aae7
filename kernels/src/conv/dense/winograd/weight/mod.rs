//! The gradient with respect to a 3 x 3 weight by the transpose of Winograd's filtering.
//!
//! **Computes** `G^T (sum over tiles of (A g A^T) * (B^T d B)) G` for the `m x m` gradients `g` of a tile's outputs and its inputs `d`: the
//! filtering `A^T ((G w G^T) * (B^T d B)) A` is linear in `w`, and this is its transpose, with the same matrices. Over a tile it has
//! `(m + 2)^2` products for `9 m^2`, and the transform back is made once for the whole weight.
//!
//! **Map.** This file cuts and launches; `kernel.rs` makes partial sums at the points, `finish.rs` adds them and transforms back.
//!
//! **Sums** are made over the tiles of a block in registers, over the blocks of a partial sum, over partial sums, then over points: a
//! function of the problem alone, the same on any number of cores.
//!
//! **Measured** (2 cores of Zen 5, f32, 16 images, the direct kernel's time over this one's): 2.8 for 128 to 128 channels of 32 x 32, 3.0 for 64 to 64 of
//! 16 x 16, 2.4 for 256 to 256, 1.5 for 256 to 512 of 8 x 8 and 1.3 for 512 to 512 of 4 x 4, whose sums at the points do not fit a cache; 1.25 for 64 images
//! of 32 x 32 with 16 to 16. Predicted from the products: up to 4, less a sixth for the transforms.
//!
//! **Errors** are measured as those of the filtering, in units of rounding of the same expression over absolute values.

mod finish;
mod kernel;

use super::tile_vectors;
use super::tiles::TilesLaunch;
use crate::conv::dense::ConvProblem;
use crate::lanes::Lanes;
use crate::prologue::Source;
use crate::{KernelError, Tensor, launch};

/// Tiles of a block at most: their products are summed in registers one by one.
const MOST_TILES: usize = 96;
/// Blocks of a partial sum at most, so that f32 does not lose the last of them.
const MOST_BLOCKS: usize = 64;
/// Partial sums at most, and the elements that all of them hold, unless one alone holds more: 8 MB of f32.
const MOST_PARTIALS: usize = 32;
const MOST_ELEMENTS: usize = 1 << 21;

/// How the tiles are cut: the order of the sums follows from it, and it from the problem alone.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    /// Tiles of a block.
    block: usize,
    /// Blocks of a partial sum.
    blocks: usize,
    partials: usize,
}

impl Cut {
    /// For `tiles` tiles, at least one, and partial sums of `elements` elements.
    fn of(tiles: usize, elements: usize) -> Self {
        let by_size = (MOST_ELEMENTS / elements).clamp(1, MOST_PARTIALS);
        let by_tiles = (tiles / MOST_TILES).max(1);
        let fewest = tiles.div_ceil(MOST_TILES * MOST_BLOCKS);
        // A power of two, so that cores share them evenly.
        let most = 1 << by_size.min(by_tiles).ilog2();
        let partials = fewest.next_power_of_two().max(most);
        let blocks = tiles.div_ceil(partials).div_ceil(MOST_TILES);
        Self {
            block: tiles.div_ceil(partials * blocks),
            blocks,
            partials,
        }
    }
}

/// Launches the partial sums from tiles of `outputs` by `outputs`, and what they come to.
pub(in crate::conv::dense) fn launch_winograd_weight(
    problem: &ConvProblem,
    source: &Source,
    grad: &Tensor,
    out: &Tensor,
    outputs: usize,
) -> Result<(), KernelError> {
    let x = source.map();
    let client = x.client();
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let lanes = Lanes::of(client, problem.dtype, co, &[grad, out]);
    let in_lanes = Lanes::of(client, problem.dtype, ci, &[x]);
    let vectors = tile_vectors(lanes.vectors());
    let groups = lanes.vectors().div_ceil(vectors);
    let pitch = groups * vectors;
    // As many sums as leave registers for their operands.
    let taps = if vectors == 1 { 16 } else { 8 };
    let sides = problem.output();
    let [down, across] = sides.map(|side| side.div_ceil(outputs));
    let tiles = problem.batch * down * across;
    let points = (outputs + 2) * (outputs + 2);
    let cut = Cut::of(tiles, points * ci * pitch * lanes.width);
    // Rows that start in different sets of a cache; the last tile of channels may read up to its width past them.
    let input_pitch = ci.next_multiple_of(16) + 16;
    let rows = ci.div_ceil(taps);
    // A core for each part, as far as there are channels.
    let splits = launch::grid(client, 1)
        .units
        .div_ceil(cut.partials)
        .min(rows);
    let grid = launch::grid(client, cut.partials * splits);
    let accumulator = problem.dtype.accumulator();
    let room =
        |shape: &[usize]| Tensor::room("conv grad_weight", "scratch", client, shape, accumulator);
    let inputs = room(&[grid.units, points, cut.block * input_pitch + 16])?;
    let grads = room(&[grid.units, points, (cut.block * pitch + 1) * lanes.width])?;
    let partials = room(&[cut.partials, points * ci, pitch * lanes.width])?;
    let [up, left] = problem.options.padding;
    let map = || {
        let [h, w] = problem.input;
        TilesLaunch::new(h, w, sides[0], sides[1], down, across, up, left)
    };
    // SAFETY: `ConvProblem` relates all extents; inputs and grads hold what a unit has of a block, partials every point of the weight.
    unsafe {
        kernel::weight_partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            in_lanes.width,
            in_lanes.arg(x),
            lanes.arg(grad),
            partials.arg(lanes.width),
            inputs.arg(1),
            grads.arg(lanes.width),
            source.entrance(lanes.item, grad),
            lanes.unaligned(x),
            map(),
            tiles,
            ci,
            co,
            lanes.vectors(),
            cut.block,
            cut.blocks,
            input_pitch,
            cut.partials,
            splits,
            grid.run,
            outputs,
            taps,
            vectors,
            source.prologue(),
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    let grid = launch::grid(client, ci);
    // SAFETY: as above; `out` is the whole weight.
    unsafe {
        finish::finish_weight::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            partials.arg(lanes.width),
            in_lanes.arg(x),
            lanes.arg(grad),
            lanes.arg(out),
            source.entrance(lanes.item, grad),
            lanes.unaligned(x),
            map(),
            problem.batch,
            ci,
            co,
            lanes.vectors(),
            pitch,
            cut.partials,
            grid.run,
            outputs,
            source.prologue(),
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
    fn every_tile_has_one_partial_sum_and_no_sum_is_long() {
        for tiles in (1..1000).chain([4096, 25_088, 100_000, 1 << 20]) {
            for elements in [36 * 16 * 16, 36 * 64 * 64, 36 * 512 * 512] {
                let Cut {
                    block,
                    blocks,
                    partials,
                } = Cut::of(tiles, elements);
                assert!(block <= MOST_TILES && blocks <= MOST_BLOCKS);
                assert!(partials * blocks * block >= tiles && partials.is_power_of_two());
                // What a small problem needs fits 8 MB, unless one sum alone does not.
                assert!(partials == 1 || partials * elements <= MOST_ELEMENTS || tiles > 6000);
            }
        }
    }
}
