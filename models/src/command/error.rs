use crate::data::DataError;
use crate::recipe::RecipeError;
use crate::run::RunError;
use crate::train::TrainError;
use crate::zoo::ZooError;
use ghostlight_autodiff::KernelError;

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
    /// Standard output takes nothing.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// Ctrl-C in a training; the checkpoint is written.
    #[error("stopped; go on with `ghostlight distill --out {run} --resume`")]
    Stopped { run: String },
    /// A run that has no network to use yet.
    #[error(
        "the run in {run} has no finished {phase}: go on with it by `ghostlight distill --out {run} --resume`"
    )]
    Unfinished { run: String, phase: String },
    /// Images of classes that the run's networks do not know.
    #[error(
        "the classes of {data} are {got:?}, but the run was trained on {wanted:?}; name the folders alike"
    )]
    Classes {
        data: String,
        got: Vec<String>,
        wanted: Vec<String>,
    },
    /// Nothing left to evaluate.
    #[error(
        "the run was trained on all {images} images of {data}; give images that it has not seen"
    )]
    AllTrainedOn { data: String, images: usize },
    /// A recipe that names no architecture.
    #[error("{key}: {source}")]
    Architecture { key: &'static str, source: ZooError },
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
        )
    }
}
