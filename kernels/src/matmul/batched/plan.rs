use crate::launch::GPU_UNITS;
use crate::{Client, DType};

/// Neighbours that are read from shared memory at once.
pub(super) const QUAD: usize = 4;
/// The depth that is brought to shared memory at a time: 64 rows and 64 columns of 16 f32 take 8 KB.
const DEPTH: usize = 16;

/// The tile of a cube, a comptime choice by the number of columns alone on all devices that have room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    /// Units along rows and along columns.
    pub units: [usize; 2],
    /// Quads of columns that a unit multiplies by its one quad of rows.
    pub quads: usize,
    /// The depth that is brought to shared memory at a time.
    pub depth: usize,
}

impl Plan {
    /// The tile for groups of `columns` columns.
    pub fn of(client: &Client, dtype: DType, columns: usize) -> Self {
        let hardware = &client.properties().hardware;
        let (units, quads) = match columns {
            0..=4 => ([32, 1], 1),
            5..=8 => ([32, 2], 1),
            9..=16 => ([32, 4], 1),
            17..=32 => ([32, 4], 2),
            _ => ([16, 8], 2),
        };
        let mut plan = Self {
            units,
            quads,
            depth: DEPTH,
        };
        let most = hardware.max_units_per_cube.clamp(1, GPU_UNITS) as usize;
        while plan.cube() > most {
            let longer = usize::from(plan.units[1] > plan.units[0]);
            plan.units[longer] /= 2;
        }
        let element = dtype.accumulator().size();
        while plan.bytes(element) > hardware.max_shared_memory_size && plan.depth > 1 {
            plan.depth /= 2;
        }
        plan
    }

    /// Units of a cube.
    pub fn cube(&self) -> usize {
        self.units[0] * self.units[1]
    }

    /// Rows of a tile.
    pub fn rows(&self) -> usize {
        self.units[0] * QUAD
    }

    /// Columns of a tile.
    pub fn columns(&self) -> usize {
        self.units[1] * self.quads * QUAD
    }

    /// Quads of a tile's rows in shared memory. One more than there are keeps units that write along the depth off each other's banks.
    pub fn row_pitch(&self) -> usize {
        self.units[0] + 1
    }

    /// Quads of a tile's columns.
    pub fn column_pitch(&self) -> usize {
        self.units[1] * self.quads
    }

    /// Shared memory in bytes, for elements of `element` bytes: both operands, and a spot of three numbers a row.
    fn bytes(&self, element: usize) -> usize {
        let quads = self.depth * (self.row_pitch() + self.column_pitch());
        quads * QUAD * element + self.rows() * 3 * size_of::<u32>()
    }
}
