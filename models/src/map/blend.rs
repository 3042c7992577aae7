use super::Grid;
use ghostlight_kernels::planted;
use std::collections::VecDeque;

/// Probabilities, and the pixels for which they were added up.
type Sum = (Vec<f64>, f64);

/// Rows of tiles in, rows of cells out, as soon as the last tile that covers them is in.
pub(super) struct Blend {
    grid: Grid,
    classes: usize,
    blends: bool,
    /// Tile rows that are in.
    added: usize,
    /// Cell rows that are out.
    done: usize,
    /// The cell rows from `done` on that a tile has covered.
    open: VecDeque<Vec<Sum>>,
    /// Of the cell rows from `done` on whose own tiles are in, which cells have any data.
    own: VecDeque<Vec<bool>>,
}

impl Blend {
    pub(super) fn new(grid: Grid, classes: usize, blends: bool) -> Self {
        Self {
            grid,
            classes,
            blends,
            added: 0,
            done: 0,
            open: VecDeque::new(),
            own: VecDeque::new(),
        }
    }

    /// Adds the answers of the next row of tiles, and gives the probabilities of the cells, row by row, that are done. `None` stands for
    /// tiles that were not asked about and for their cells.
    pub(super) fn add(&mut self, tiles: Vec<Option<Vec<f32>>>) -> Vec<Option<Vec<f32>>> {
        if !self.blends {
            return tiles;
        }
        let Grid { down, across } = self.grid;
        let row = self.added;
        self.added += 1;
        for (cell_row, lines) in down.covered(row) {
            // Rows above are out: they were covered for the last time before.
            while self.done + self.open.len() <= cell_row {
                let empty = (vec![0.0; self.classes], 0.0);
                self.open.push_back(vec![empty; across.cells()]);
            }
            let sums = &mut self.open[cell_row - self.done];
            for (column, tile) in tiles.iter().enumerate() {
                let Some(probabilities) = tile else { continue };
                for (cell, pixels) in across.covered(column) {
                    let weight = planted::or("map_blends_evenly", (lines * pixels) as f64, 1.0);
                    let (sum, total) = &mut sums[cell];
                    *total += weight;
                    for (sum, &p) in sum.iter_mut().zip(probabilities) {
                        *sum += weight * f64::from(p);
                    }
                }
            }
        }
        // A cell whose own tile was not asked about has no data, whatever its neighbours' tiles see.
        self.own
            .push_back(tiles.iter().map(Option::is_some).collect());
        let mut out = Vec::new();
        while self.done < down.cells() && down.last_over(self.done) <= row {
            let (Some(sums), Some(own)) = (self.open.pop_front(), self.own.pop_front()) else {
                break;
            };
            self.done += 1;
            let mean = |((sum, total), own): (Sum, bool)| {
                own.then(|| sum.iter().map(|p| (p / total) as f32).collect())
            };
            out.extend(sums.into_iter().zip(own).map(mean));
        }
        out
    }
}
