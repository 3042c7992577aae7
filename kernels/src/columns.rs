//! A cube adds up columns: how kernels that reduce over pixels, channel by channel, are laid over a GPU.
//!
//! **Why.** Where one unit owns a vector of channels, a map of 56x56 pixels of 64 channels is work for 16 units, one after the other.
//! Here the units of a cube share its vectors and its pixels: they walk every so many pixels and meet to add up.
//!
//! **Layout** a cube is `rows` rows of `lanes` units; `rows` is a power of two, `lanes` what divides the vectors most evenly. Unit `u` takes the vector `u % lanes` of the cube's, of the
//! pixels `u / lanes`, `+ rows`, `+ 2 rows`, ...: neighbouring units read neighbouring vectors, and rows the pixels behind each other.
//!
//! **The sum** of a column takes `log2(rows)` steps, as that of a team ([`crate::team`]), which walks one row instead: both of a pair
//! add the same two vectors, and the order depends on the number of rows and of pixels alone. Every unit of the cube comes to it.

use crate::{Client, launch};
use cubecl::prelude::*;

/// Vectors of a cube: with 16 bytes each, the units of a warp read 512 bytes side by side.
const LANES: usize = 32;
/// Vectors of a narrow cube, of 128 bytes together: a line of memory.
const NARROW: usize = 8;

/// Units of the largest cube.
const UNITS: usize = launch::GPU_UNITS as usize;

/// How the columns of a launch are laid over cubes.
pub(crate) struct ColumnCubes {
    pub count: CubeCount,
    pub dim: CubeDim,
    /// Vectors of a cube.
    pub lanes: usize,
    /// Cubes that share an item's vectors.
    pub per_item: usize,
}

impl ColumnCubes {
    /// Cubes for `items` items of `vectors` vectors each, on a device that is no CPU.
    pub fn of(client: &Client, items: usize, vectors: usize) -> Self {
        let slices = vectors.div_ceil(LANES.min(units(client)));
        Self::over(client, items, vectors, vectors.div_ceil(slices))
    }

    /// [`ColumnCubes::of`] with few vectors and many rows a cube: for few items, each of many rows that begin with a line.
    pub fn narrow(client: &Client, items: usize, vectors: usize) -> Self {
        let lanes = vectors.min(NARROW).min(units(client));
        Self::over(client, items, vectors, lanes)
    }

    /// Vectors from one row of a scratch to the next that [`ColumnCubes::narrow`] reads: slices begin with a line, and where there is one
    /// alone, rows lie side by side.
    pub fn pitch(vectors: usize) -> usize {
        if vectors > NARROW {
            vectors.next_multiple_of(NARROW)
        } else {
            vectors
        }
    }

    fn over(client: &Client, items: usize, vectors: usize, lanes: usize) -> Self {
        let rows = 1 << (units(client) / lanes).ilog2();
        let per_item = vectors.div_ceil(lanes);
        Self {
            count: launch::cubes(client, items * per_item),
            dim: CubeDim::new_1d((rows * lanes) as u32),
            lanes,
            per_item,
        }
    }

    /// Rows of a cube.
    pub fn rows(&self) -> usize {
        self.dim.x as usize / self.lanes
    }
}

/// Units of a cube, at most.
fn units(client: &Client) -> usize {
    launch::grid(client, 1).dim.x as usize
}

/// The columns of the unit's cube.
#[derive(CubeType)]
pub(crate) struct Columns<F: Float, N: Size> {
    /// Two halves of one vector a unit.
    slots: Shared<[Vector<F, N>]>,
    /// The half that is written next.
    half: usize,
    lanes: usize,
    /// The unit's vector, of those of the cube.
    pub lane: usize,
    /// The unit's row.
    pub row: usize,
    /// Rows of the cube.
    pub rows: usize,
}

#[cube]
impl<F: Float, N: Size> Columns<F, N> {
    /// `lanes` columns a cube.
    pub fn new(lanes: usize) -> Columns<F, N> {
        let unit = UNIT_POS as usize;
        Columns::<F, N> {
            slots: Shared::new_slice(comptime!(2 * UNITS)),
            half: 0usize.runtime(),
            lanes,
            lane: unit % lanes,
            row: unit / lanes,
            rows: CUBE_DIM as usize / lanes,
        }
    }

    /// The sum of the own vectors of all units of a column, at each of them.
    pub fn sum(&mut self, own: Vector<F, N>) -> Vector<F, N> {
        let mut sum = own;
        let mut apart = 1usize;
        while apart < self.rows {
            let start = self.half * UNITS + self.lane;
            self.slots[start + self.row * self.lanes] = sum;
            sync_cube();
            self.half = 1 - self.half;
            sum += self.slots[start + (self.row ^ apart) * self.lanes];
            apart *= 2;
        }
        sum
    }
}
