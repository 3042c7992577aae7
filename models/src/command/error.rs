use super::typed;
use crate::compare::CompareError;
use crate::data::DataError;
use crate::map::MapError;
use crate::recipe::RecipeError;
use crate::report::ReportError;
use crate::run::RunError;
use crate::train::TrainError;
use crate::weights::WeightsError;
use crate::zoo::ZooError;
use ghostlight_autodiff::KernelError;
use std::path::PathBuf;

/// What a command ends with when it does not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Zoo(#[from] ZooError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Map(#[from] MapError),
    /// A file that a map cannot be written to.
    #[error("cannot write the map to {}: {reason}", path.display())]
    MapFile { path: PathBuf, reason: String },
    /// Weights of another network.
    #[error("{path}: {source}")]
    Mismatch {
        path: String,
        source: crate::nn::StoreError,
    },
    /// A batch that is no batch of images.
    #[error("{path}: `x` has shape {got:?}; wanted [images, 3, height, width], none of them 0")]
    Batch { path: String, got: Vec<usize> },
    /// A network and images that do not go together.
    #[error("{arch} does not take images of {height} x {width} pixels: {source}")]
    Size {
        arch: String,
        height: usize,
        width: usize,
        source: KernelError,
    },
    /// Standard output takes nothing.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// Ctrl-C in a training; the checkpoint is written.
    #[error("stopped; go on with `{}`", typed::resume(run))]
    Stopped { run: PathBuf },
    /// A training that ended for a reason outside of it; its last checkpoint is there.
    #[error("{reason}; go on with `{}`", typed::resume(run))]
    Broken {
        reason: Box<TrainError>,
        run: PathBuf,
    },
    /// A name that no network of the run has.
    #[error("the run in {} has no network {name:?}; it has {}", run.display(), names.join(", "))]
    Network {
        run: PathBuf,
        name: String,
        names: Vec<String>,
    },
    /// A name that no training of a recipe has.
    #[error("the recipe has no training {name:?}; it has {}", names.join(", "))]
    NoTraining { name: String, names: Vec<String> },
    /// A run that has no network to use yet.
    #[error(
        "the run in {} has no finished {phase}: go on with it by `{}`",
        run.display(),
        typed::resume(run)
    )]
    Unfinished { run: PathBuf, phase: String },
    /// Images of classes that the run's networks do not know.
    #[error(
        "the classes of {data} are {got:?}, but the run was trained on {wanted:?}; name the folders alike"
    )]
    Classes {
        data: String,
        got: Vec<String>,
        wanted: Vec<String>,
    },
    /// A run from before the digests of images were kept.
    #[error(
        "{} has no digest of each image (`digests` in split.json), as runs of older versions: which images of {data} it was trained on \
         cannot be told. Evaluate it on {was}, whose images are known by their order, or train a new run",
        run.display()
    )]
    NoDigests {
        run: PathBuf,
        was: String,
        data: String,
    },
    /// Nothing left to evaluate.
    #[error(
        "the run was trained or validated on all {images} images of {data}; give images that it has not seen"
    )]
    AllTrainedOn { data: String, images: usize },
    /// A recipe that names no architecture.
    #[error("{key}: {source}")]
    Architecture { key: String, source: ZooError },
    /// A batch that does not fit into memory.
    #[error(
        "a training step of {arch} keeps {:.2} GB for {batch} images of {} x {} pixels, but {:.2} GB of memory are left: free some, or begin \
         the run with a smaller {}",
        *needed as f64 * 1e-9,
        size.1,
        size.0,
        *available as f64 * 1e-9,
        match fits {
            0 | 1 => "data.image_size".to_string(),
            fits => format!("train.batch (--set train.batch={fits} is the most that fits) or data.image_size"),
        }
    )]
    Memory {
        arch: String,
        batch: usize,
        size: (usize, usize),
        needed: u64,
        available: u64,
        fits: usize,
    },
    /// A contact sheet that cannot be written.
    #[error("cannot write the contact sheet {path}: {reason}")]
    Sheet { path: String, reason: String },
    /// Images too small for the networks.
    #[error(
        "images of {height} x {width} pixels are too small: 8 x 8 or more; set data.image_size"
    )]
    TooSmall { height: usize, width: usize },
}

impl CommandError {
    pub(super) fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Stopped { .. }
                | Self::Train(TrainError::Stopped)
                | Self::Data(DataError::Stopped)
                | Self::Map(MapError::Data(DataError::Stopped))
        )
    }
}
