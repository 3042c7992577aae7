//! Two partial sums a run of pixels, and how they are added up on a GPU.
//!
//! **Layout** `[2, runs, pitch]`, in vectors: all first sums, then all second ones, so that a cube that adds up one of both reads
//! neighbours. Rows are as far apart as lines of memory allow. A cube owns a slice of the channels, its rows every so many runs;
//! slices are narrow, as few cubes share this work.

use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::columns::{ColumnCubes, Columns};
use crate::lanes::{Lanes, store};
use crate::{Client, DType, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Partial sums that a unit loads before it adds the first of them: few units share this work, and each waits for its loads.
pub(super) const AHEAD: usize = 8;

/// The sum of eight vectors as a tree, which is shorter to wait for than a chain and rounds less.
#[cube]
pub(super) fn tree<F: Float, N: Size>(t: &Array<Vector<F, N>>) -> Vector<F, N> {
    ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]))
}

/// The sum of `count` partial sums, the first at `start` and each `step` behind the one before.
#[cube]
pub(super) fn sum_of_runs<F: Float, N: Size>(
    partials: &[Vector<F, N>],
    start: usize,
    step: usize,
    count: usize,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ahead = comptime!(AHEAD);
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(count) {
        let mut part = zero;
        let end = block_end(block, count);
        let mut i = block_start(block);
        while i < end {
            let mut terms = Array::<Vector<F, N>>::new(ahead);
            #[unroll]
            for u in 0..ahead {
                terms[u] = partials[start + min(i + u, end - 1) * step];
            }
            #[unroll]
            for u in 0..ahead {
                if i + u >= end {
                    terms[u] = zero;
                }
            }
            part += tree::<F, N>(&terms);
            i += ahead;
        }
        sum.add(part);
    }
    sum.total()
}

/// Where partial sums lie, and the cubes that add them up.
pub(super) struct Partials {
    pub scratch: Tensor,
    runs: usize,
    vectors: usize,
    pitch: usize,
}

/// Where a kernel writes or reads partial sums, as its argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Planes {
    /// Runs: rows of a plane.
    pub runs: usize,
    /// Vectors from one row to the next.
    pub pitch: usize,
    /// Vectors of a row.
    pub vectors: usize,
    /// Vectors of a slice, where sums are added up.
    pub lanes: usize,
}

impl Partials {
    /// Room for those of `runs` runs, whose pixels are walked in `lanes`.
    ///
    /// # Errors
    /// A scratch past [`Tensor::MOST_ELEMENTS`], of operation `op`.
    pub fn room(
        op: &'static str,
        client: &Client,
        dtype: DType,
        runs: usize,
        lanes: &Lanes,
    ) -> Result<Self, KernelError> {
        let vectors = lanes.vectors();
        let pitch = ColumnCubes::pitch(vectors);
        let shape = [2, runs, pitch * lanes.width];
        Ok(Self {
            scratch: Tensor::room(op, "scratch", client, &shape, dtype.accumulator())?,
            runs,
            vectors,
            pitch,
        })
    }

    /// Vectors from one run to the next.
    pub fn pitch(&self) -> usize {
        self.pitch
    }

    /// Cubes that add up, over so many of the two planes at a time.
    pub fn cubes(&self, planes: usize) -> ColumnCubes {
        ColumnCubes::narrow(self.scratch.client(), planes, self.vectors)
    }

    /// The kernel's [`Planes`].
    pub fn arg(&self) -> PlanesLaunch {
        PlanesLaunch::new(self.runs, self.pitch, self.vectors, self.cubes(1).lanes)
    }
}

#[cube]
impl Planes {
    /// The index of vector `v` of sum `plane` of `run`.
    pub fn index(&self, plane: usize, run: usize, v: usize) -> usize {
        (plane * self.runs + run) * self.pitch + v
    }

    /// Vectors from one of a unit's runs to the next, where `rows` rows of a cube take them in turns.
    pub fn step(&self, rows: usize) -> usize {
        rows * self.pitch
    }

    /// How many runs are row `row`'s.
    pub fn own(&self, row: usize, rows: usize) -> usize {
        (self.runs + rows - 1 - row) / rows
    }
}

/// Adds the partial sums in order, the first ones into `first` and the second ones into `second`; 0 for channels from `kept` on, of
/// which there are no sums. One cube owns a slice of the vectors of one of both.
#[cube(launch_unchecked)]
fn add_planes<F: Float, B: Size, N: Size>(
    partials: &[Vector<F, N>],
    first: &mut [Vector<F, B>],
    second: &mut [Vector<F, B>],
    first_rest: &mut [F],
    second_rest: &mut [F],
    planes: Planes,
    channels: usize,
    kept: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let mut columns = Columns::<F, N>::new(planes.lanes);
    let (row, rows) = (columns.row, columns.rows);
    let slices = (planes.vectors + planes.lanes - 1) / planes.lanes;
    // Cubes past the last one walk what is there, for the barriers, and write nothing.
    let plane = min(CUBE_POS / slices, 1);
    let v = CUBE_POS % slices * planes.lanes + columns.lane;
    let there = row == 0 && v < planes.vectors && CUBE_POS < 2 * slices;
    let start = planes.index(plane, row, min(v, planes.vectors - 1));
    let sum = sum_of_runs::<F, N>(partials, start, planes.step(rows), planes.own(row, rows));
    let sum = columns.sum(sum);
    if there {
        if plane == 0 {
            store::<F, F, B, N>(first, v * N::value(), sum);
        } else {
            store::<F, F, B, N>(second, v * N::value(), sum);
        }
    }
    if CUBE_POS == 0 {
        let mut c = kept + UNIT_POS as usize;
        while c < channels {
            first_rest[c] = F::new(0.0f32);
            second_rest[c] = F::new(0.0f32);
            c += CUBE_DIM as usize;
        }
    }
}

/// Adds up the first and the second sums of `partials`, of the first channels of `lanes`' buffers.
pub(super) fn launch_add(partials: &Partials, lanes: &Lanes, first: &Tensor, second: &Tensor) {
    let client = first.client();
    let cubes = partials.cubes(2);
    // SAFETY: `Partials` relates the extents; both results hold `lanes.channels` elements or more.
    unsafe {
        add_planes::launch_unchecked(
            client,
            cubes.count,
            cubes.dim,
            lanes.item,
            lanes.width,
            partials.scratch.arg(lanes.width),
            lanes.arg(first),
            lanes.arg(second),
            first.arg(1),
            second.arg(1),
            partials.arg(),
            first.len(),
            lanes.channels,
            first.dtype().elem(),
        );
    }
    launch::throttle(client);
}
