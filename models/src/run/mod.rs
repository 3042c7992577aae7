//! The run directory: everything needed to repeat, resume and read a run.
//!
//! ```text
//! recipe.toml       the resolved recipe, every field written out
//! split.json        which images train and which test
//! metrics.jsonl     one line per epoch
//! checkpoints/      <phase>.safetensors: weights, optimiser and position in one file
//! summary.json      written last: a run without it did not finish
//! report.html       for people
//! ```
//!
//! A run is [planned](PlannedRun) before its data is read and created after, so that bad input leaves no folder behind.

mod atomic;
mod checkpoint;
mod error;
mod log;
mod name;

pub use atomic::write_atomic;
pub use checkpoint::{Checkpoint, NamedTensor};
pub use error::RunError;
pub use log::MetricsLog;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::recipe::Recipe;

/// Where runs go that were given no folder.
const RUNS: &str = "runs";
const RECIPE: &str = "recipe.toml";
const SPLIT: &str = "split.json";
const METRICS: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";
const REPORT: &str = "report.html";
const CHECKPOINTS: &str = "checkpoints";

/// A run that has a place but no folder yet.
#[derive(Debug)]
pub struct PlannedRun {
    root: PathBuf,
}

impl PlannedRun {
    /// Chooses the folder: `out` itself, which must be absent or empty, or a new `runs/<date-time>` (UTC). Writes nothing.
    ///
    /// Errors, in order: [`Io`](RunError::Io) if `out` is a file or cannot be read, [`Taken`](RunError::Taken).
    pub fn new(out: Option<&Path>) -> Result<Self, RunError> {
        let root = match out {
            Some(out) => out.to_path_buf(),
            None => name::unused(Path::new(RUNS)),
        };
        match fs::read_dir(&root).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(Self { root }),
            Ok(false) => Err(RunError::Taken { path: root }),
            Err(reason) if reason.kind() == ErrorKind::NotFound => Ok(Self { root }),
            Err(reason) => Err(RunError::io("use as a run folder", &root, reason)),
        }
    }

    /// The folder to be.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Creates the folder with its recipe and split; `split` is written as JSON. On an error nothing is left behind.
    ///
    /// Errors: those of [`new`](Self::new), if the folder was taken meanwhile; [`Io`](RunError::Io), say on a read-only or
    /// full disk; [`Encode`](RunError::Encode).
    pub fn create(self, recipe: &Recipe, split: &impl Serialize) -> Result<RunDir, RunError> {
        // Another run may have taken the folder while this one was reading its data.
        Self::new(Some(&self.root))?;
        let made: Vec<PathBuf> = self
            .root
            .ancestors()
            .take_while(|folder| !folder.exists())
            .map(Path::to_path_buf)
            .collect();
        let run = RunDir { root: self.root };
        let filled = fs::create_dir_all(run.file(CHECKPOINTS))
            .map_err(|reason| RunError::io("create", &run.root, reason))
            .and_then(|()| write_atomic(&run.file(RECIPE), recipe.to_toml().as_bytes()))
            .and_then(|()| run.write_json(SPLIT, split));
        match filled {
            Ok(()) => Ok(run),
            Err(error) => {
                run.remove_own_files();
                // Innermost first; `remove_dir` spares a folder someone else has put a file into.
                made.iter().for_each(|folder| _ = fs::remove_dir(folder));
                Err(error)
            }
        }
    }
}

/// A run directory that exists, with its recipe.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Opens an existing run. Error: [`NotARun`](RunError::NotARun) if there is no `recipe.toml` in it.
    pub fn open(root: &Path) -> Result<Self, RunError> {
        let run = Self {
            root: root.to_path_buf(),
        };
        match run.file(RECIPE).is_file() {
            true => Ok(run),
            false => Err(RunError::NotARun { path: run.root }),
        }
    }

    /// The latest run under `runs/`, for `--resume` without a folder.
    pub fn latest() -> Result<Self, RunError> {
        let runs = fs::read_dir(RUNS)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let latest = runs.filter(|path| path.join(RECIPE).is_file()).max();
        Self::open(&latest.unwrap_or_else(|| RUNS.into()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the recipe lies.
    pub fn recipe_path(&self) -> PathBuf {
        self.file(RECIPE)
    }

    /// The recipe the run was started with.
    pub fn recipe(&self) -> Result<Recipe, RunError> {
        let path = self.recipe_path();
        let text =
            fs::read_to_string(&path).map_err(|reason| RunError::io("read", &path, reason))?;
        Ok(Recipe::parse(&path.display().to_string(), &text)?)
    }

    /// Refuses to go on under another recipe: [`OtherRecipe`](RunError::OtherRecipe) lists every key that differs.
    pub fn check_recipe(&self, given: &Recipe) -> Result<(), RunError> {
        let differences = self.recipe()?.differences(given);
        match differences.is_empty() {
            true => Ok(()),
            false => Err(RunError::OtherRecipe {
                path: self.root.clone(),
                differences,
            }),
        }
    }

    /// The split the run was started with.
    pub fn split<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        self.read_json(SPLIT)
    }

    /// Opens `metrics.jsonl`. Errors: those of [`MetricsLog::open`].
    pub fn metrics(&self) -> Result<MetricsLog, RunError> {
        MetricsLog::open(&self.file(METRICS))
    }

    /// Replaces the checkpoint of `phase` in one step: after a kill at any moment the old or the new one is there, whole.
    pub fn save_checkpoint(&self, phase: &str, checkpoint: &Checkpoint) -> Result<(), RunError> {
        write_atomic(&self.checkpoint_path(phase), &checkpoint.to_bytes()?)
    }

    /// The checkpoint of `phase`, or `None` if none was saved.
    ///
    /// Errors: [`Io`](RunError::Io); [`Damaged`](RunError::Damaged) if it was cut short or altered.
    pub fn load_checkpoint(&self, phase: &str) -> Result<Option<Checkpoint>, RunError> {
        let path = self.checkpoint_path(phase);
        match fs::read(&path) {
            Ok(bytes) => {
                Checkpoint::from_bytes(&bytes)
                    .map(Some)
                    .map_err(|damage| RunError::Damaged {
                        path,
                        bytes: bytes.len(),
                        damage,
                    })
            }
            Err(reason) if reason.kind() == ErrorKind::NotFound => Ok(None),
            Err(reason) => Err(RunError::io("read", &path, reason)),
        }
    }

    /// Whether any training has saved a checkpoint.
    pub fn has_checkpoint(&self) -> bool {
        fs::read_dir(self.file(CHECKPOINTS)).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Where the checkpoint of `phase` lies.
    pub fn checkpoint_path(&self, phase: &str) -> PathBuf {
        self.file(CHECKPOINTS).join(format!("{phase}.safetensors"))
    }

    /// Writes `summary.json`, which marks the run as finished.
    pub fn write_summary(&self, summary: &impl Serialize) -> Result<(), RunError> {
        self.write_json(SUMMARY, summary)
    }

    /// The summary of a finished run, or `None` for one that is not.
    pub fn summary<T: DeserializeOwned>(&self) -> Result<Option<T>, RunError> {
        match self.file(SUMMARY).exists() {
            true => self.read_json(SUMMARY).map(Some),
            false => Ok(None),
        }
    }

    /// Writes `report.html`.
    pub fn write_report(&self, html: &str) -> Result<(), RunError> {
        write_atomic(&self.file(REPORT), html.as_bytes())
    }

    /// Removes a run that failed before it had anything to show: its own files, and the folder if nothing else is in it.
    pub fn discard(self) {
        self.remove_own_files();
        _ = fs::remove_dir(&self.root);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunError> {
        let path = self.file(name);
        let mut text =
            serde_json::to_vec_pretty(value).map_err(|reason| RunError::encode(&path, reason))?;
        text.push(b'\n');
        write_atomic(&path, &text)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunError> {
        let path = self.file(name);
        let text = fs::read(&path).map_err(|reason| RunError::io("read", &path, reason))?;
        serde_json::from_slice(&text).map_err(|reason| RunError::Decode { path, reason })
    }

    fn remove_own_files(&self) {
        _ = fs::remove_dir_all(self.file(CHECKPOINTS));
        for name in [RECIPE, SPLIT, METRICS, SUMMARY, REPORT] {
            _ = fs::remove_file(self.file(name));
        }
    }
}

#[cfg(test)]
mod tests;
