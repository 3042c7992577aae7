use std::io;
use std::path::{Path, PathBuf};

use crate::recipe::{Difference, RecipeError};

/// What can go wrong with a run directory.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder for a new run already holds something.
    #[error(
        "{} is not empty: choose another folder with --out{}",
        path.display(),
        if *run { ", or go on with the run in it with --resume" } else { "" }
    )]
    Taken {
        /// The folder.
        path: PathBuf,
        /// Whether that is a run.
        run: bool,
    },
    /// There is no run in the folder.
    #[error("there is no run in {}: a run folder holds a recipe.toml; `distill` without --resume begins a run", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system refused: no space, no permission, no such folder.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// A value could not be written in the file's format.
    #[error("cannot express the contents of {}: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The format's reason.
        reason: String,
    },
    /// A JSON file of the run cannot be understood.
    #[error("{} is damaged: {reason}; start a new run", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The parser's message with line and column.
        reason: serde_json::Error,
    },
    /// A checkpoint was cut short or altered.
    #[error(
        "the checkpoint {} ({bytes} bytes) is damaged: {damage}; delete it to train this network again with --resume, or start a new run",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// What does not fit.
        damage: String,
    },
    /// `--resume` with another recipe than the run was started with.
    #[error("the run in {} was started with another recipe: {}; resume it without these changes, or start a new run", path.display(), list(differences))]
    OtherRecipe {
        /// The run.
        path: PathBuf,
        /// The keys that differ; left is the run's value.
        differences: Vec<Difference>,
    },
    /// The run's own recipe file was altered.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Another process is writing to the run.
    #[error("the run in {} is being written by another process: wait for it or stop it", path.display())]
    InUse {
        /// The run.
        path: PathBuf,
    },
    /// The metrics lack epochs that the checkpoint knows.
    #[error("{} holds {found} epochs of {phase}, but its checkpoint was saved after {expected}: the file was cut short; delete that checkpoint to train this network again with --resume, or start a new run", path.display())]
    MetricsCutShort {
        /// The metrics file.
        path: PathBuf,
        /// The training.
        phase: String,
        /// Epochs the checkpoint knows.
        expected: usize,
        /// Epochs in the file.
        found: usize,
    },
    /// `--resume` with other images than the run was started with.
    #[error("the run in {} was started with the images of {was}; {now} holds others: give the same data, or start a new run", path.display())]
    OtherData {
        /// The run.
        path: PathBuf,
        /// The data set the run was started with.
        was: String,
        /// The one given now.
        now: String,
    },
}

impl RunError {
    pub(crate) fn io(action: &'static str, path: &Path, reason: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            reason,
        }
    }

    pub(crate) fn encode(path: &Path, reason: impl ToString) -> Self {
        Self::Encode {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

fn list(differences: &[Difference]) -> String {
    let lines = differences
        .iter()
        .map(|d| format!("`{}` was {} and is now {}", d.key, d.left, d.right));
    lines.collect::<Vec<_>>().join(", ")
}
