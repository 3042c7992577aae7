use crate::data::DataError;
use crate::methods::WayError;
use crate::nn::StoreError;
use crate::run::RunError;
use crate::zoo::ZooError;
use ghostlight_autodiff::KernelError;
use std::path::PathBuf;

/// What ends a training early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The run directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The report.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// An architecture's name.
    #[error(transparent)]
    Zoo(#[from] ZooError),
    /// A checkpoint of another architecture.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The checkpoint.
        path: PathBuf,
        /// What does not fit.
        source: StoreError,
    },
    /// A checkpoint's state that this program did not write.
    #[error("the state in {} is not understood: {reason}; delete the file to train this network again with --resume", path.display())]
    State {
        /// The checkpoint.
        path: PathBuf,
        /// The parser's message.
        reason: serde_json::Error,
    },
    /// A way to teach that the networks do not allow.
    #[error(transparent)]
    Way(#[from] WayError),
    /// A choice by validation images where none are kept.
    #[error(
        "{choice} goes by the validation images, but none are kept: set data.validation_fraction above 0, or take that back"
    )]
    NoValidation {
        /// The field and its value.
        choice: String,
    },
    /// A teacher that was trained elsewhere and does not fit.
    #[error("the teacher {}: {reason}", path.display())]
    LoadedTeacher {
        /// Its file or run.
        path: PathBuf,
        /// What does not fit, and the way out.
        reason: String,
    },
    /// A student whose teacher is not the one that the run has now.
    #[error(
        "{} was taught by another teacher than the run has now: delete it to teach the student again with --resume, or put the other teacher's checkpoint back",
        path.display()
    )]
    OtherTeacher {
        /// The student's checkpoint.
        path: PathBuf,
    },
    /// The device or a kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The loss is no number any more.
    #[error(
        "the loss of the {phase} became {loss} in epoch {epoch}: start a new run with a lower train.peak_lr (now {peak_lr}), as --set train.peak_lr=VALUE"
    )]
    Diverged {
        /// Which training.
        phase: String,
        /// Counted from 1.
        epoch: usize,
        /// The value.
        loss: f64,
        /// The recipe's learning rate.
        peak_lr: f64,
    },
    /// A network answers with values that are no numbers.
    #[error(
        "the outputs of the {arch} are not finite: its training diverged; start a new run with a lower train.peak_lr (now {peak_lr}), as --set train.peak_lr=VALUE"
    )]
    NotFinite {
        /// The network.
        arch: String,
        /// The recipe's learning rate.
        peak_lr: f64,
    },
    /// [`super::Session::stop`] was set; a training has written its checkpoint.
    #[error("stopped before the end")]
    Stopped,
}

impl TrainError {
    /// Whether the reason lies outside of the run, so that going on with it later makes sense: the disk or the device.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Run(RunError::Io { .. })
                | Self::Kernel(_)
                | Self::Data(DataError::BadImage { .. })
        )
    }
}
