//! A large image as a map of classes: a classifier sees it tile by tile and says of each cell what is in it.
//!
//! Cells divide the scene like squared paper, `tile - overlap` pixels each; around the middle of every cell lies a tile, moved inwards where it
//! would reach past the scene's edge. Without overlap a cell is its tile. The scene is read from above to below, and no more of it is held
//! than a tile is high.
//!
//! | file | what |
//! |---|---|
//! | `grid` | where cells and tiles lie |
//! | `window` | the rows of the scene that a row of tiles needs |
//! | `blend` | from the probabilities of tiles to those of cells |
//! | `network` | a network as the classifier |
//! | `overview` | the scene, small, to lie beside the map |
//! | `place` | where the scene lies on the earth: GeoTIFF and world files |
//! | `colours`, `picture`, `raster`, `page` | what is written: a picture, the classes as a GeoTIFF, a page to look at |

mod blend;
mod colours;
mod error;
mod grid;
mod network;
mod overview;
mod page;
mod picture;
mod place;
mod raster;
mod window;

pub use colours::colours;
pub use error::MapError;
pub use grid::{Axis, Grid};
pub use network::NetworkClassifier;
pub use page::page;
pub use picture::{Paint, picture};
pub use place::Place;
pub use raster::raster;

use crate::data::{Scene, Stretch, stop as stopping};
use blend::Blend;
use image::RgbImage;
use overview::Overview;
use std::sync::atomic::AtomicBool;
use window::Window;

/// Classes that a map of 8 bits can tell apart, beside 0 for none.
pub const MOST_CLASSES: usize = 255;

/// What says of tiles which class is in them.
pub trait Classifier {
    /// Number of classes.
    fn classes(&self) -> usize;

    /// Tiles that are best asked about together.
    fn batch(&self) -> usize;

    /// Maps `tiles`, RGB `[n, tile height, tile width, 3]`, to probabilities `[n, classes]`, each row of which adds up to 1.
    ///
    /// # Errors
    /// Its own.
    fn probabilities(&mut self, tiles: &[u8]) -> Result<Vec<f32>, MapError>;
}

/// How a scene becomes a map.
pub struct Options<'a> {
    /// A cell's probabilities are the mean of those of all tiles that cover it, weighted by how much of it they cover; otherwise they are those
    /// of its own tile.
    pub blend: bool,
    /// How samples of more than 8 bits become pixels.
    pub stretch: Option<&'a Stretch>,
    /// Set from outside to stop at once.
    pub stop: &'a AtomicBool,
    /// Called with the number of tiles answered since it was called last.
    pub progress: &'a dyn Fn(u64),
}

/// The classes of a scene's cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Where the cells lie.
    pub grid: Grid,
    /// Number of classes.
    pub classes: usize,
    /// One value per cell, row by row: 0 where nothing was measured, else the class counted from 1.
    pub values: Vec<u8>,
    /// The probability of that class in 255ths, rounded; 0 where nothing was measured.
    pub confidence: Vec<u8>,
    /// The scene, small.
    pub overview: RgbImage,
}

impl Map {
    /// The share of the scene's area that has each value, 0 first.
    pub fn shares(&self) -> Vec<f64> {
        let mut pixels = vec![0; self.classes + 1];
        let columns = self.grid.across.cells();
        for (cell, &value) in self.values.iter().enumerate() {
            let (row, column) = (cell / columns, cell % columns);
            let (down, across) = (self.grid.down.cell(row), self.grid.across.cell(column));
            pixels[usize::from(value)] += (down.len() * across.len()) as u64;
        }
        let whole = (self.grid.down.scene * self.grid.across.scene) as f64;
        pixels.into_iter().map(|n: u64| n as f64 / whole).collect()
    }
}

/// Classifies `scene` on `grid`.
///
/// A cell of which nothing was measured gets no class, and its tile is not asked about.
///
/// # Errors
/// In this order: [`MapError::Classes`] for more than [`MOST_CLASSES`]; then those of reading the scene and of the classifier as they come;
/// [`MapError::Data`] with [`DataError::Stopped`](crate::data::DataError::Stopped) once `stop` is set.
pub fn classify(
    scene: &mut Scene,
    grid: Grid,
    classifier: &mut impl Classifier,
    options: &Options,
) -> Result<Map, MapError> {
    let classes = classifier.classes();
    if classes > MOST_CLASSES {
        return Err(MapError::Classes { classes });
    }
    let (rows, columns) = (grid.down.cells(), grid.across.cells());
    let mut map = Map {
        grid,
        classes,
        values: Vec::with_capacity(rows * columns),
        confidence: Vec::with_capacity(rows * columns),
        overview: RgbImage::new(0, 0),
    };
    let mut overview = Overview::of((grid.down.scene, grid.across.scene));
    let mut window = Window::new(grid.across.scene);
    let mut blend = Blend::new(grid, classes, options.blend);
    for row in 0..rows {
        let (tile, cell) = (grid.down.tile(row), grid.down.cell(row));
        while window.end() < tile.end {
            stopping::check(options.stop)?;
            let more = scene.next_rows(options.stretch)?;
            let more = more.ok_or(MapError::Short { read: window.end() })?;
            overview.add(&more.pixels);
            window.push(more);
        }
        let asked: Vec<usize> = (0..columns)
            .filter(|&column| window.has_data(cell.clone(), grid.across.cell(column)))
            .collect();
        let mut answers = vec![None; columns];
        for some in asked.chunks(classifier.batch().max(1)) {
            stopping::check(options.stop)?;
            let mut tiles = Vec::new();
            for &column in some {
                window.cut(tile.clone(), grid.across.tile(column), &mut tiles);
            }
            let found = classifier.probabilities(&tiles)?;
            for (&column, of_one) in some.iter().zip(found.chunks_exact(classes)) {
                answers[column] = Some(of_one.to_vec());
            }
            (options.progress)(some.len() as u64);
        }
        (options.progress)((columns - asked.len()) as u64);
        for probabilities in blend.add(answers) {
            let (value, confidence) = probabilities.as_deref().map_or((0, 0), answer);
            map.values.push(value);
            map.confidence.push(confidence);
        }
        if row + 1 < rows {
            window.forget_before(grid.down.tile(row + 1).start);
        }
    }
    map.overview = overview.image();
    Ok(map)
}

/// A cell's value and confidence from its probabilities.
fn answer(probabilities: &[f32]) -> (u8, u8) {
    let larger = |best: usize, (i, &p): (usize, &f32)| match p > probabilities[best] {
        true => i,
        false => best,
    };
    let class = probabilities.iter().enumerate().fold(0, larger);
    // There are 255 classes at most.
    let value = class as u8 + 1;
    (value, (255.0 * probabilities[class]).round() as u8)
}

#[cfg(test)]
mod tests;
