use super::MOST_CLASSES;
use super::grid::MOST_CELLS;
use crate::data::DataError;
use crate::train::TrainError;
use ghostlight_autodiff::KernelError;
use std::path::PathBuf;

/// Why a scene did not become a map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The scene cannot be read, or the work was stopped.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network does not answer.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The device or a kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Tiles that would not move on.
    #[error("--overlap is {overlap} pixels; tiles of this size allow 0 to {most}")]
    Overlap {
        /// The overlap given.
        overlap: usize,
        /// The largest allowed.
        most: usize,
    },
    /// A scene in which no tile has room.
    #[error(
        "the scene has {} x {} pixels, fewer than a tile of {} x {}; give a smaller --tile, or ask `ghostlight predict` about the whole image",
        scene.1, scene.0, tile.1, tile.0
    )]
    SmallScene {
        /// Height and width of the scene.
        scene: (usize, usize),
        /// Height and width of a tile.
        tile: (usize, usize),
    },
    /// A map that is too fine.
    #[error(
        "the map would have {cells} cells, more than {MOST_CELLS}; give a smaller --overlap (now {overlap}) or a larger --tile"
    )]
    Cells {
        /// Cells it would have.
        cells: usize,
        /// The overlap given.
        overlap: usize,
    },
    /// More classes than values.
    #[error(
        "the network knows {classes} classes, but a map of 8 bits has values for {MOST_CLASSES} only; map with a run of fewer classes"
    )]
    Classes {
        /// Classes of the network.
        classes: usize,
    },
    /// A scene with fewer rows than its header says.
    #[error("the scene ends after {read} rows, before its last pixel; write it anew")]
    Short {
        /// Rows that were read.
        read: usize,
    },
    /// A world file that is none.
    #[error("{}: {reason}; a world file has six lines with a number each: repair or remove it", path.display())]
    WorldFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A GeoTIFF whose tags contradict themselves.
    #[error("{}: {reason}; repair its place, as with gdal_edit, or remove it with gdal_edit -unsetgt", path.display())]
    GeoTags {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture that could not be written, which has no reason that a caller could remove.
    #[error("cannot write the {what}: {reason}")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// The encoder's message.
        reason: String,
    },
}
