use super::MapError;
use ghostlight_kernels::planted;
use std::ops::Range;

/// Cells that a map may have: their classes are held in memory, and a picture of more opens nowhere.
pub const MOST_CELLS: usize = 1 << 26;

/// Cells and tiles along one side of a scene, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// The scene's side.
    pub scene: usize,
    /// A tile's.
    pub tile: usize,
    /// A cell's: tile less overlap.
    pub cell: usize,
}

impl Axis {
    /// Number of cells, and of tiles.
    pub fn cells(&self) -> usize {
        self.scene.div_ceil(self.cell)
    }

    /// The pixels of cell `i`; the last one ends with the scene.
    pub fn cell(&self, i: usize) -> Range<usize> {
        i * self.cell..((i + 1) * self.cell).min(self.scene)
    }

    /// The pixels of the tile around the middle of cell `i`, moved inwards where it would reach past the scene. The whole cell
    /// lies in it.
    pub fn tile(&self, i: usize) -> Range<usize> {
        let before = planted::or("map_tiles_begin_at_cells", (self.tile - self.cell) / 2, 0);
        let start = (i * self.cell).saturating_sub(before);
        let start = start.min(self.scene - self.tile);
        start..start + self.tile
    }

    /// The cells that tile `i` covers, each with how many of its pixels.
    pub fn covered(&self, i: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (axis, tile) = (*self, self.tile(i));
        let cells = tile.start / axis.cell..tile.end.div_ceil(axis.cell);
        cells.map(move |c| {
            let cell = axis.cell(c);
            (c, tile.end.min(cell.end) - tile.start.max(cell.start))
        })
    }

    /// The last tile that covers cell `c`.
    pub fn last_over(&self, c: usize) -> usize {
        let covers = |i: &usize| self.tile(*i).start < self.cell(c).end;
        // Tiles come in order, and so does where they begin; the cell's own covers it.
        (c..self.cells()).take_while(covers).last().unwrap_or(c)
    }
}

/// Cells and tiles of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// From above to below.
    pub down: Axis,
    /// From the left to the right.
    pub across: Axis,
}

impl Grid {
    /// Tiles of `tile` (height, width) pixels on a scene of `scene`, neighbours of which share `overlap`.
    ///
    /// # Errors
    /// In this order: [`MapError::Overlap`] for one that is no smaller than a tile, [`MapError::SmallScene`] for a scene that is smaller than a tile,
    /// [`MapError::Cells`] for too many cells.
    pub fn new(
        scene: (usize, usize),
        tile: (usize, usize),
        overlap: usize,
    ) -> Result<Self, MapError> {
        let least = tile.0.min(tile.1);
        if overlap >= least {
            return Err(MapError::Overlap {
                overlap,
                most: least.saturating_sub(1),
            });
        }
        if scene.0 < tile.0 || scene.1 < tile.1 {
            return Err(MapError::SmallScene { scene, tile });
        }
        let axis = |scene, tile| Axis {
            scene,
            tile,
            cell: tile - overlap,
        };
        let grid = Self {
            down: axis(scene.0, tile.0),
            across: axis(scene.1, tile.1),
        };
        let cells = grid.cells();
        match cells > MOST_CELLS {
            true => Err(MapError::Cells { cells, overlap }),
            false => Ok(grid),
        }
    }

    /// Number of cells, and of tiles.
    pub fn cells(&self) -> usize {
        self.down.cells().saturating_mul(self.across.cells())
    }
}
