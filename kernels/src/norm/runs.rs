//! Runs of pixels and slices of their channels, one of each a cube: how sums over pixels are laid over a GPU.
//!
//! **Why.** A sum over all pixels of a map, channel by channel, is as many partial sums as there are runs, and somebody has to add those
//! up. A unit that owned a run would walk its channels, which neighbouring units do far apart; a unit that owned a channel of all pixels
//! would be one of few. A cube ([`crate::columns`]) takes both: its units lie over a slice of the channels, vectors fastest, and over
//! every so many pixels of the run, and meet before anything is written.
//!
//! **Groups**: pixels that one sum may reach over. A batch norm has one of all pixels, a norm of images one an image.
//!
//! **How long a run is** hangs on the map and on its vectors alone. A unit sums 8 pixels where the map is small: that writes a partial sum
//! for 32 pixels of 128 channels or of more, and for 256 of 16. From [`CUBES`] cubes on it sums more, up to 64, so that no chain of
//! additions is longer.
//!
//! **Lost**: eight pixels of a unit under way at a time in place of [`AHEAD`]. A batch norm's moments took 80 registers, 37 % of an H100's
//! warps and a spill; four of 16 bytes, by half of the warps, are four times what that card's memory needs under way.

use crate::Client;
use crate::columns::ColumnCubes;
use cubecl::prelude::*;

/// Pixels that a unit loads before it computes with the first of them.
pub(super) const AHEAD: usize = 4;
/// Pixels of a unit, at least and at most.
const LEAST_PIXELS: usize = 8;
const MOST_PIXELS: usize = 64;
/// Cubes past which a unit is given more pixels: two waves of an H100.
const CUBES: usize = 2048;

/// How the pixels of some groups are laid over cubes.
pub(super) struct Layout {
    pub cubes: ColumnCubes,
    groups: usize,
    pixels: usize,
    vectors: usize,
    per_run: usize,
}

/// The runs of a launch, as a kernel argument; what it says is of the unit's cube. Cubes past the last run walk it again, as barriers
/// wait for all of their units.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Runs {
    pixels: usize,
    /// Vectors of a pixel.
    pub vectors: usize,
    /// Vectors of a slice.
    pub lanes: usize,
    slices: usize,
    per_run: usize,
    runs_of_group: usize,
    count: usize,
}

impl Layout {
    /// `groups` groups of `pixels` pixels of `vectors` vectors, on a device that is no CPU.
    pub fn of(client: &Client, groups: usize, pixels: usize, vectors: usize) -> Self {
        let one = ColumnCubes::of(client, 1, vectors);
        let per_unit = (groups * pixels * one.per_item).div_ceil(one.rows() * CUBES);
        let per_unit = per_unit
            .next_multiple_of(AHEAD)
            .clamp(LEAST_PIXELS, MOST_PIXELS);
        let per_run = per_unit * one.rows();
        Self {
            cubes: ColumnCubes::of(client, groups * pixels.div_ceil(per_run), vectors),
            groups,
            pixels,
            vectors,
            per_run,
        }
    }

    /// Pixels of a run; the last one of a group may have fewer.
    pub fn per_run(&self) -> usize {
        self.per_run
    }

    /// Runs of a group.
    pub fn runs_of_group(&self) -> usize {
        self.pixels.div_ceil(self.per_run)
    }

    /// Runs of all groups.
    pub fn count(&self) -> usize {
        self.groups * self.runs_of_group()
    }

    /// The kernel's [`Runs`].
    pub fn arg(&self) -> RunsLaunch {
        RunsLaunch::new(
            self.pixels,
            self.vectors,
            self.cubes.lanes,
            self.cubes.per_item,
            self.per_run,
            self.runs_of_group(),
            self.count(),
        )
    }
}

#[cube]
impl Runs {
    /// The run, counted through all groups.
    pub fn run(&self) -> usize {
        min(CUBE_POS / self.slices, self.count - 1)
    }

    /// The run's group.
    pub fn group(&self) -> usize {
        self.run() / self.runs_of_group
    }

    /// The run's first pixel, counted through all groups.
    pub fn from(&self) -> usize {
        self.group_start() + self.run() % self.runs_of_group * self.per_run
    }

    /// The first pixel of the run's group, counted through all groups.
    pub fn group_start(&self) -> usize {
        self.group() * self.pixels
    }

    /// Past the run's last pixel.
    pub fn to(&self) -> usize {
        min(self.from() + self.per_run, self.group_start() + self.pixels)
    }

    /// The vector of the unit in column `lane`; past the last vector for a unit without one.
    pub fn vector(&self, lane: usize) -> usize {
        CUBE_POS % self.slices * self.lanes + lane
    }

    /// Whether the unit with vector `v` writes anything.
    pub fn there(&self, v: usize) -> bool {
        CUBE_POS / self.slices < self.count && v < self.vectors
    }
}
