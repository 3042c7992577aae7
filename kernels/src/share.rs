//! How the pixels of a map and the vectors of their channels are shared out: which of both a unit walks.
//!
//! **On a CPU** a unit owns a run of neighbouring items, a pixel or several each, and walks the channels of all: a thread reads memory
//! in order, and what an item costs to find is paid once.
//!
//! **On a GPU** a unit owns one item and one vector of its channels, vectors fastest: neighbouring units read neighbouring vectors at the
//! same time. Where a unit walked the channels there too, a warp's request touched 8 lines of memory for every one it needed, and
//! a map of 28x28 pixels was work for 784 units, on a card with room for 270,000.
//!
//! Which of both it is, is known when a kernel is compiled: a CPU's code knows nothing of the other way.

use crate::lanes::Lanes;
use crate::{Client, launch};
use cubecl::prelude::*;

/// The shares of a launch.
pub(crate) struct Shares {
    /// The launch's cubes.
    pub count: CubeCount,
    /// The units of a cube.
    pub dim: CubeDim,
    /// Vectors that a unit holds side by side.
    pub block: usize,
    items: usize,
    run: usize,
    blocks: usize,
    apart: bool,
}

/// A unit's share, as a kernel argument: the items `first()..end()`, and of each the blocks of vectors `from()..to()`.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Share {
    items: usize,
    run: usize,
    blocks: usize,
    /// Whether the blocks of an item are units' own.
    #[cube(comptime)]
    apart: bool,
}

impl Shares {
    /// Of `items` items of the channels of `lanes`. Where a unit walks them, it takes at most `most` vectors at a time: their chains of
    /// operations do not wait for each other.
    pub fn of(client: &Client, items: usize, lanes: &Lanes, most: usize) -> Self {
        let block = if launch::is_cpu(client) {
            lanes.together(most)
        } else {
            1
        };
        Self {
            block,
            ..Self::over(client, items, lanes.vectors() / block)
        }
    }

    /// Of `items` items of `blocks` blocks of vectors, each of one vector where nothing else is said.
    pub fn over(client: &Client, items: usize, blocks: usize) -> Self {
        let apart = !launch::is_cpu(client);
        let grid = launch::grid(client, if apart { items * blocks } else { items });
        Self {
            count: grid.count,
            dim: grid.dim,
            block: 1,
            items,
            run: grid.run,
            blocks,
            apart,
        }
    }

    /// The kernel's [`Share`].
    pub fn arg(&self) -> ShareLaunch {
        ShareLaunch::new(self.items, self.run, self.blocks, self.apart)
    }
}

#[cube]
impl Share {
    /// The unit's first item.
    pub fn first(&self) -> usize {
        if comptime!(self.apart) {
            ABSOLUTE_POS / self.blocks
        } else {
            ABSOLUTE_POS * self.run
        }
    }

    /// One past the unit's last item; not past the first one for a unit without any.
    pub fn end(&self) -> usize {
        min(self.first() + self.run, self.items)
    }

    /// The unit's first block of vectors, of each of its items.
    pub fn from(&self) -> usize {
        if comptime!(self.apart) {
            ABSOLUTE_POS % self.blocks
        } else {
            0usize.runtime()
        }
    }

    /// One past the unit's last block of vectors.
    pub fn to(&self) -> usize {
        if comptime!(self.apart) {
            ABSOLUTE_POS % self.blocks + 1
        } else {
            self.blocks
        }
    }
}
