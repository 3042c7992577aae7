//! A team of units walks a row together: how kernels that reduce over rows are laid over a GPU.
//!
//! **Why.** Where one unit owns a row, neighbouring units read elements a whole row apart, and a row of 131,072 classes is walked by
//! one thread. A team takes a row's vectors in turns, so that its units read neighbours at the same time, and meets to reduce. A CPU
//! has no teams: its few units are threads with rows in their caches.
//!
//! **Layout** a team is `size` neighbouring units of one cube, a power of two; short rows have small teams, several a cube, as many
//! as fit, so that 16 classes in vectors of 4 take two units and not a cube. A unit gets two vectors or fewer, until its team fills a cube.
//! Unit `u` takes the vectors `u`, `u + size`, ... Kernels that do much with a row beside its walks ask for up to eight vectors a unit where
//! the rows are many ([`Teams::of_batch`]): distillation of 4096 rows of 1,000 classes has a floor of 17.5 us on the H100 of
//! `docs/results/gpu-shape.md`, with two vectors a unit 29.2.
//!
//! Vectors share no lane ([`Lanes::apart`](crate::lanes::Lanes::apart)).
//!
//! **Reductions** take `log2(size)` steps, in each of which a unit meets the one whose number differs in one bit. Both add the same two
//! numbers, and all units end with the same bits; the order depends on the row's length alone, or on that and the batch. What is exchanged lies in one half of
//! the shared memory, then in the other, so that a step costs one barrier: when a half is written again, the barrier between has
//! seen all who read it. A kernel chooses how many numbers it reduces at a time, `L`.
//!
//! **Barriers** are reached by every unit of a cube or by none: all teams of a launch have the same size and do the same reductions.
//! A team past the last row walks the last row again, and writes nothing.
//!
//! **What it does not do**: share a row between cubes. A few rows of many classes leave most of a GPU idle, as one launch with a
//! fixed order of sums has no way for cubes to meet.
//!
//! **Not timed**: no GPU was at hand. The kernels on teams were run on lavapipe, for their results alone; what is said about memory
//! is what follows from the order of the addresses. Planes are not used: their reductions would save barriers, in an order that is
//! each device's own.

use crate::{Client, launch};
use cubecl::prelude::*;

/// Vectors of a row for which a team gets one more unit. A unit with two has something to add up before it has to meet the others.
pub(crate) const VECTORS_OF_UNIT: usize = 2;

/// Vectors of a unit at most, and units of a launch at least, where units of many rows get more of them: what a row costs a unit whatever
/// its length, reductions and the row's own numbers, is then paid by fewer.
const MOST_VECTORS_OF_UNIT: usize = 8;
const FILLING: usize = 1 << 16;
/// Units whose vectors of four numbers are a line of memory.
const UNITS_OF_LINE: usize = 8;

/// Vectors of a unit that are added up before their sum meets the others', as where one unit owns a row.
pub(crate) const BLOCK: usize = 64;

/// How the rows of a launch are laid over teams.
pub(crate) struct Teams {
    pub count: CubeCount,
    pub dim: CubeDim,
    /// Units of a team.
    pub size: usize,
}

impl Teams {
    /// Teams for `rows` rows of `vectors` vectors, on a device that is no CPU.
    pub fn of(client: &Client, rows: usize, vectors: usize) -> Self {
        Self::of_units_with(client, rows, vectors, VECTORS_OF_UNIT)
    }

    /// [`Teams::of`] for kernels that do much with a row beside its walks: in a batch of many rows a unit gets more vectors. The order of sums
    /// is then a function of the batch, too.
    pub fn of_batch(client: &Client, rows: usize, vectors: usize) -> Self {
        let mut of_unit = VECTORS_OF_UNIT;
        while of_unit < MOST_VECTORS_OF_UNIT
            && rows * vectors >= 2 * of_unit * FILLING
            && vectors >= 2 * of_unit * UNITS_OF_LINE
        {
            of_unit *= 2;
        }
        Self::of_units_with(client, rows, vectors, of_unit)
    }

    /// [`Teams::of`] whose units have `of_unit` vectors each, until their team fills a cube.
    pub fn of_units_with(client: &Client, rows: usize, vectors: usize, of_unit: usize) -> Self {
        let size = Self::sized(client, vectors, of_unit);
        let grid = launch::grid(client, rows * size);
        Self {
            count: grid.count,
            dim: grid.dim,
            size,
        }
    }

    /// Units of a team for a row of `vectors` vectors.
    pub fn size(client: &Client, vectors: usize) -> usize {
        Self::sized(client, vectors, VECTORS_OF_UNIT)
    }

    fn sized(client: &Client, vectors: usize, of_unit: usize) -> usize {
        let units = launch::grid(client, 1).dim.x;
        // A team that does not divide its cube would reach into the next.
        let most = 1 << units.trailing_zeros();
        let size = vectors.div_ceil(of_unit).next_power_of_two();
        size.min(most)
    }
}

/// Units of the largest cube.
const UNITS: usize = launch::GPU_UNITS as usize;

/// The unit's team.
#[derive(CubeType)]
pub(crate) struct Team<F: Float, L: Size> {
    /// Two halves of one vector of numbers a unit.
    slots: Shared<[Vector<F, L>]>,
    /// The half that is written next.
    half: usize,
    /// Units of the team.
    pub size: usize,
    /// The unit's place among them.
    pub unit: usize,
    /// The team's row.
    pub row: usize,
    /// Whether the row is no other team's.
    pub there: bool,
}

#[cube]
impl<F: Float, L: Size> Team<F, L> {
    /// The team of `size` units that the unit belongs to, of those that share `rows` rows.
    pub fn new(rows: usize, size: usize) -> Team<F, L> {
        let row = ABSOLUTE_POS / size;
        Team::<F, L> {
            slots: Shared::new_slice(comptime!(2 * UNITS)),
            half: 0usize.runtime(),
            size,
            unit: ABSOLUTE_POS % size,
            row: min(row, rows - 1),
            there: row < rows,
        }
    }

    /// The vectors that the team walks, of `vectors`: none of a row that is another team's, which may write over it meanwhile.
    pub fn walks(&self, vectors: usize) -> usize {
        select(self.there, vectors, 0usize)
    }

    /// Whether the unit writes what there is one of for each row.
    pub fn leads(&self) -> bool {
        self.there && self.unit == 0
    }

    /// Past the vectors that the unit adds up before it adds their sum to the others', of those from `v` on.
    pub fn block(&self, v: usize, vectors: usize) -> usize {
        min(v + self.size * BLOCK, vectors)
    }

    /// The sum of all units' numbers.
    pub fn sum(&mut self, own: Vector<F, L>) -> Vector<F, L> {
        let mut sum = own;
        let mut apart = 1usize;
        while apart < self.size {
            sum += self.other(sum, apart);
            apart *= 2;
        }
        sum
    }

    /// The largest of all units' numbers, none of which is a NaN.
    pub fn max(&mut self, own: Vector<F, L>) -> Vector<F, L> {
        let mut top = own;
        let mut apart = 1usize;
        while apart < self.size {
            let other = self.other(top, apart);
            top = select_many(other.greater_than(&top), other, top);
            apart *= 2;
        }
        top
    }

    /// The numbers of the unit whose place differs from the unit's own in the bit `apart`, which gets `own`.
    fn other(&mut self, own: Vector<F, L>, apart: usize) -> Vector<F, L> {
        let start = self.half * UNITS;
        let unit = UNIT_POS as usize;
        self.slots[start + unit] = own;
        sync_cube();
        self.half = 1 - self.half;
        self.slots[start + (unit ^ apart)]
    }
}

/// Numbers to reduce, two at a time.
#[cube]
pub(crate) fn pair<F: Float>(a: F, b: F) -> Vector<F, Const<2>> {
    let mut both = Vector::new(a);
    both.insert(1usize, b);
    both
}

/// Numbers to reduce, four at a time.
#[cube]
pub(crate) fn quad<F: Float>(a: F, b: F, c: F, d: F) -> Vector<F, Const<4>> {
    let mut all = Vector::new(a);
    all.insert(1usize, b);
    all.insert(2usize, c);
    all.insert(3usize, d);
    all
}
