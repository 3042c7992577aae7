//! The walk of every map over tensors of one shape that may be channel windows.

use crate::lanes::{Lanes, ViewLaunch};
use crate::launch::Grid;
use crate::{Client, Tensor, launch};
use cubecl::prelude::*;

/// Vectors of a row of a tensor without gaps: long enough that starting a row costs nothing, short enough to share out evenly.
const VECTORS_OF_ROW: usize = 32;

/// Rows of elements without a gap: the pixels where one of the tensors is a window, else pieces of the whole length, of which the
/// last is moved back to end with the tensor. Elements that come twice are computed and written twice, with the same result.
pub(crate) struct Map<'a> {
    pub client: &'a Client,
    pub lanes: Lanes,
    grid: Grid,
    rows: usize,
    length: usize,
    back: usize,
    whole: bool,
}

/// The rows that a unit owns, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Walk {
    rows: usize,
    /// Elements that the last row is moved back by.
    back: usize,
    run: usize,
    /// Elements of a row.
    pub length: usize,
    /// Vectors of a row.
    pub vectors: usize,
}

impl<'a> Map<'a> {
    /// The rows of `tensors`, at least one, all of one shape and none empty.
    pub fn over(tensors: &[&'a Tensor]) -> Self {
        Self::of(tensors, false)
    }

    /// [`Map::over`] in which no element comes twice, for a result that is written over its operand: the vectors of a length that has no
    /// even divisor are single elements.
    pub fn once(tensors: &[&'a Tensor]) -> Self {
        Self::of(tensors, true)
    }

    fn of(tensors: &[&'a Tensor], once: bool) -> Self {
        let (one, len) = (tensors[0], tensors[0].len());
        let (client, dtype) = (one.client(), one.dtype());
        let whole = !tensors.iter().any(|tensor| tensor.is_window());
        let length = if !whole {
            len / one.pixels()
        } else if !launch::is_cpu(client) {
            launch::width(client, dtype, len)
        } else if once {
            let width = launch::width(client, dtype, len);
            let vectors = (1..=VECTORS_OF_ROW)
                .rev()
                .find(|vectors| (len / width).is_multiple_of(*vectors));
            width * vectors.unwrap_or(1)
        } else {
            len.min(VECTORS_OF_ROW * launch::widest(client, dtype))
        };
        let rows = len.div_ceil(length);
        let lanes = if once { Lanes::apart } else { Lanes::of };
        Self {
            client,
            lanes: lanes(client, dtype, length, tensors),
            grid: launch::grid(client, rows),
            rows,
            length,
            back: rows * length - len,
            whole,
        }
    }

    /// Adds a row behind the last one: a bug to plant, that the fences find.
    pub fn stretch(&mut self) {
        self.rows += 1;
        self.grid = launch::grid(self.client, self.rows);
    }

    /// The launch's cubes.
    pub fn cubes(&self) -> CubeCount {
        self.grid.count.clone()
    }

    /// The units of a cube.
    pub fn units(&self) -> CubeDim {
        self.grid.dim
    }

    /// Where the rows of `tensor` start.
    pub fn view(&self, tensor: &Tensor) -> ViewLaunch {
        if self.whole {
            ViewLaunch::new(0, self.length)
        } else {
            tensor.view()
        }
    }

    /// The kernel's [`Walk`].
    pub fn walk(&self) -> WalkLaunch {
        let vectors = self.lanes.vectors();
        WalkLaunch::new(self.rows, self.back, self.grid.run, self.length, vectors)
    }
}

#[cube]
impl Walk {
    /// The unit's first row.
    pub fn first(&self) -> usize {
        ABSOLUTE_POS * self.run
    }

    /// One past the unit's last row; before the first one for a unit without any.
    pub fn end(&self) -> usize {
        min(ABSOLUTE_POS * self.run + self.run, self.rows)
    }

    /// Where `row` starts in a tensor whose view has it start at `index`.
    pub fn start(&self, row: usize, index: usize) -> usize {
        index - select(row + 1 == self.rows, self.back, 0usize)
    }
}
