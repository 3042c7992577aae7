//! The product of a gathered matrix and a plain one, on a GPU: matrix products and all passes of dense and grouped convolutions.
//!
//! **Computes** `out[i, j] = sum over d of a(i, d) b[d, j]`, for each group, where an element of `a` is the pixel of an image under a
//! tap, or zero where the tap meets padding. [`Pass`] says what the rows and the depth are:
//!
//! | pass | rows | depth | columns |
//! |---|---|---|---|
//! | forward | pixels of the output | taps and input channels | output channels |
//! | transposed | pixels of the input, one residue of the stride after another | taps of the residue and output channels | input channels |
//! | weight | taps and input channels | pixels of the output | output channels |
//!
//! A matrix product is a convolution of images of one pixel with a kernel of one tap.
//!
//! **Layout** images NHWC, weights `[kh, kw, ci / groups, co]`, those of the transposed pass flipped as [`crate::conv::dense`] says; the
//! images, what the columns are read from in the weight pass, the result and the residual may be channel windows.
//!
//! **Map.** `blueprint.rs` chooses the tile and the cube, `split.rs` the number of partial sums. `gather.rs` indexes: what a row and what a
//! depth add to the position of an element. `stage.rs` brings tiles to shared memory and multiplies them. `kernel.rs` walks the depth, stores
//! and launches; `finish.rs` adds up partial sums.
//!
//! **A cube owns** a tile of the result, 128 x 64 where there are as many rows and columns, and goes through the depth 32 at a time: its units
//! bring the tile's rows of `a` and its columns of `b` to shared memory, zeros for what is not there, and each multiplies 8 rows by 8 columns
//! in registers; 4 by 8, 8 by 4 or 4 by 4 where there are fewer. Four neighbours are read from shared memory at once, and from memory where the
//! channels allow it: of `a` four channels of each of four pixels, which are turned in registers, or, along the rows of a weight, four rows.
//!
//! **Two tiles.** While a tile is multiplied the next one is under way, in as many rounds as it takes when each unit has four quads in its
//! registers: a part of the loads, a part of the products, a part of the stores. So a tile costs one barrier, no product waits for the
//! loads just before it, and 16 registers hold what is under way. Where the depths of the tile after that lie is noted ahead of
//! the barrier too, by one unit a depth, as dividing an index by the extents costs more than loading what it says.
//!
//! **Parts.** Where the result has too few tiles for a GPU, the depth is cut, and a second launch adds up the parts and does what follows a
//! product: a team of units shares a vector, each with a run of the parts. The weight pass is cut where 64 pixels are left of it, the others
//! where 128 elements are.
//!
//! **Why this shape.** The kernels for a CPU give a unit whole rows of an image and a scratch for its patch; on a GPU that leaves most
//! units idle, and the scratches of the rest fall out of every cache. Here a loaded element of `a` serves 64 products and one of `b` 128, and
//! no scratch lies in global memory. An element of `a` lies at the sum of what its row and what its depth say (`gather.rs`), so that one loop
//! serves all passes, and rows are taken apart once a tile.
//!
//! **Epilogue.** Its operands are those of all convolutions (`affine.rs`), but the arithmetic stands here: the affine map of four columns is
//! loaded once for all rows of a unit.
//!
//! **Bits.** The depth is added up in order, whatever the tile; where it is cut, the parts are as many as the problem says, and in the passes
//! that an answer to an image takes as many as for any other number of images, and are added in order.
//!
//! **On a card that is not there** (`cargo xtask bench inspect`, an H100, f32): 8 images of 28 x 28 pixels, 512 channels in and out, a kernel
//! of 1 x 1, took 96 us at one instruction a cycle and scheduler when a unit had 4 x 8 sums, loaded `a` by scalars and waited for each tile:
//! 41 instructions for 32 multiply-adds, and a fifth of all were for bringing tiles. It takes 69 so, for 55 of multiply-adds. A unit has 142
//! registers for its 64 sums, so that 12 warps share a multiprocessor: sums that do not hang on each other, not warps, hide what an
//! instruction waits for.
//!
//! **Not timed**: no GPU was at hand. It was run on lavapipe, for its results alone. It knows no tensor cores.

mod blueprint;
mod finish;
mod gather;
mod kernel;
mod split;
mod stage;

pub(crate) use finish::launch_finish;
pub(crate) use kernel::{launch_implicit, launch_weight};

use crate::taps::AxisLaunch;

/// Which product of a convolution is computed, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// The output.
    Forward,
    /// The gradient with respect to the input.
    Transposed,
    /// The gradient with respect to the weight.
    Weight,
}

/// The images that are gathered from, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathered {
    pub batch: usize,
    /// `[height, width]` of the images that are read.
    pub source: [usize; 2],
    /// `[height, width]` of what is written, or, in the weight pass, of the output.
    pub target: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub groups: usize,
    /// Channels of a group in the images that are read.
    pub channels: usize,
    /// Channels of a group in the result.
    pub columns: usize,
}

impl Gathered {
    /// A matrix of `rows` rows and `channels` columns, times one of `columns` columns.
    pub fn matrix(rows: usize, channels: usize, columns: usize) -> Self {
        Self {
            batch: rows,
            source: [1; 2],
            target: [1; 2],
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 2],
            groups: 1,
            channels,
            columns,
        }
    }

    /// One axis of the convolution, as a kernel argument.
    pub fn axis(&self, axis: usize) -> AxisLaunch {
        AxisLaunch::new(
            self.source[axis],
            self.target[axis],
            self.kernel[axis],
            self.stride[axis],
            self.padding[axis],
        )
    }

    /// Channels of a pixel of the result.
    fn all_columns(&self) -> usize {
        self.groups * self.columns
    }
}
