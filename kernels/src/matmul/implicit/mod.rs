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
//! **Map.** `plan.rs` chooses the tile, the cube and the number of partial sums. `gather.rs` indexes: what a row and what a depth add to
//! the position of an element. `kernel.rs` loads, multiplies, stores and launches.
//!
//! **A cube owns** a tile of the result, 64 x 64 where there are as many columns, and goes through the depth 16 at a time: its units
//! bring the tile's rows of `a` and its columns of `b` to shared memory, zeros for what is not there, and each multiplies 4 rows by 4
//! or 8 columns in registers. Four neighbours are read from shared memory at once, and from `b` where the channels allow it.
//!
//! **Why this shape.** The kernels for a CPU give a unit whole rows of an image and a scratch for its patch; on a GPU that leaves most
//! units idle, and the scratches of the rest fall out of every cache. Here a loaded element serves 64 products, a result of 8 images
//! of 56 x 56 pixels and 128 channels is 784 cubes, and no scratch lies in global memory. An element of `a` lies at the sum of what its
//! row and what its depth say (`gather.rs`), so that one loop serves all passes, and rows are taken apart once a tile.
//!
//! **Epilogue.** Its operands are those of all convolutions (`affine.rs`), but the arithmetic stands here: the affine map of four columns is
//! loaded once for the four rows of a unit.
//!
//! **Bits.** The depth is added up in order, whatever the tile; the weight pass cuts it into partial sums, as many as the problem says,
//! and adds them in order.
//!
//! **Not timed**: no GPU was at hand. It was run on lavapipe, for its results alone. It knows no tensor cores, nor does it fetch the next
//! elements while it multiplies.

mod gather;
mod kernel;
mod plan;

pub(crate) use kernel::{launch_implicit, launch_weight};
pub(super) use plan::{Plan, QUAD};

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

    fn axis(&self, axis: usize) -> AxisLaunch {
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
