//! Sums over the rows of a table that has many, on GPUs: partial sums, mostly.
//!
//! **One cube owns** a line's worth of columns; its units share the rows among them, every sixteenth each, and the first of them adds up
//! what they found, in their order. Where one unit owns a column, a few hundred partial sums of few columns were read one after the other
//! by a handful of cubes.

use crate::cascade::sum_of;
use crate::launch::GPU_UNITS;
use crate::{Client, launch};
use cubecl::prelude::*;

/// Vectors of columns of a cube: 128 bytes of them.
const COLUMNS: usize = 8;
/// Units that share a column's rows.
const WALKERS: usize = GPU_UNITS as usize / COLUMNS;
/// Rows up to which a unit has a column to itself: meeting the others takes longer.
const FEW: usize = 32;

/// The cubes that sum `rows` rows of `columns` vectors together, where they should.
pub(super) fn cubes(client: &Client, rows: usize, columns: usize) -> Option<(CubeCount, CubeDim)> {
    let tall = !launch::is_cpu(client) && rows > FEW;
    tall.then(|| {
        let count = launch::cubes(client, columns.div_ceil(COLUMNS));
        (count, CubeDim::new_1d(GPU_UNITS))
    })
}

/// The column of a unit, and its sum in the first of those that share it.
#[derive(CubeType, Clone, Copy)]
struct Column<F: Float, N: Size> {
    index: usize,
    sum: Vector<F, N>,
    /// Whether the unit is the first, and the column exists.
    leads: bool,
}

#[cube]
fn column<R: Float, F: Float, N: Size>(
    rows: &[Vector<R, N>],
    count: usize,
    columns: usize,
) -> Column<F, N> {
    let mut slots = Shared::<[Vector<F, N>]>::new_slice(comptime!(COLUMNS * WALKERS));
    let unit = UNIT_POS as usize;
    let walker = unit / COLUMNS;
    let index = CUBE_POS * COLUMNS + unit % COLUMNS;
    if index < columns {
        let own = (count - walker + comptime!(WALKERS - 1)) / WALKERS;
        let first = walker * columns + index;
        slots[unit] = sum_of::<R, F, N>(rows, first, columns * WALKERS, own);
    }
    sync_cube();
    let leads = walker == 0 && index < columns;
    let mut sum = slots[unit];
    if leads {
        #[unroll]
        for other in 1..WALKERS {
            sum += slots[unit + other * COLUMNS];
        }
    }
    Column::<F, N> { index, sum, leads }
}

/// `out[i] = sum over r of rows[r, i]`.
#[cube(launch_unchecked)]
pub(super) fn sum_tall_kernel<R: Float, S: Float, F: Float, N: Size>(
    rows: &[Vector<R, N>],
    out: &mut [Vector<S, N>],
    count: usize,
    columns: usize,
    #[define(R, S, F)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let column = column::<R, F, N>(rows, count, columns);
    if column.leads {
        out[column.index] = Vector::cast_from(column.sum);
    }
}

/// [`sum_tall_kernel`] whose columns from `split` on go to `tail`.
#[cube(launch_unchecked)]
pub(super) fn sum_tall_apart_kernel<R: Float, S: Float, F: Float, N: Size>(
    rows: &[Vector<R, N>],
    head: &mut [Vector<S, N>],
    tail: &mut [Vector<S, N>],
    count: usize,
    columns: usize,
    split: usize,
    #[define(R, S, F)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let column = column::<R, F, N>(rows, count, columns);
    if column.leads {
        if column.index < split {
            head[column.index] = Vector::cast_from(column.sum);
        } else {
            tail[column.index - split] = Vector::cast_from(column.sum);
        }
    }
}
