//! The run directory: everything needed to repeat, resume and read a run.
//!
//! ```text
//! recipe.toml       the resolved recipe, every field written out; written last of what a run begins with
//! split.json        which images train and which test
//! platforms.json    the program and device, and those that went on with the run after it
//! metrics.jsonl     one line per epoch
//! checkpoints/      <phase>.safetensors: weights, optimiser and position in one file
//! summary.json      written last: a run without it did not finish
//! report.html       for people
//! ```
//!
//! A run is [planned](PlannedRun) before its data is read and created after, so that bad input leaves no folder behind. Who
//! creates a run or goes on with it holds its lock from then on: nobody else writes to it, or takes it for abandoned.

mod atomic;
mod checkpoint;
mod error;
mod lock;
mod log;
mod name;
mod platform;

pub use atomic::write_atomic;
pub(crate) use checkpoint::digest_of;
pub use checkpoint::{Checkpoint, NamedTensor, weights_digest};
pub use error::RunError;
pub use log::MetricsLog;
pub use platform::Platform;

use atomic::{parent, part_path, sync_folder};
use lock::{LOCK, Lock};

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::recipe::{self, Recipe};

/// Where runs go that were given no folder.
const RUNS: &str = "runs";
const RECIPE: &str = "recipe.toml";
const SPLIT: &str = "split.json";
const PLATFORMS: &str = "platforms.json";
const METRICS: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";
const REPORT: &str = "report.html";
const CHECKPOINTS: &str = "checkpoints";

/// What a run begins with. In a folder without the recipe, these are what a process that was killed left behind.
const BEGINNINGS: [&str; 2] = [SPLIT, RECIPE];
/// What a run adds to that.
const RESULTS: [&str; 4] = [PLATFORMS, METRICS, SUMMARY, REPORT];

/// What a folder of runs under several seeds begins with, and keeps.
pub const SERIES: &str = "series.json";

/// The run, or the series of runs, under `runs/` that was begun last; none where there is none.
pub fn latest_begun() -> Option<PathBuf> {
    latest(Path::new(RUNS))
}

/// A new folder `runs/<date-time>` (UTC).
///
/// Error: [`Io`](RunError::Io).
pub fn new_folder() -> Result<PathBuf, RunError> {
    let runs = Path::new(RUNS);
    let made = fs::create_dir_all(runs).and_then(|()| name::claim(runs));
    made.map_err(|reason| RunError::io("create", runs, reason))
}

/// A run that has no folder yet.
#[derive(Debug)]
pub struct PlannedRun {
    /// The folder asked for; `None` for a new one under `runs/`.
    out: Option<PathBuf>,
}

impl PlannedRun {
    /// Plans a run in `out`, which must be absent or empty, or in a new folder `runs/<date-time>` (UTC). Writes nothing. A folder
    /// that holds nothing but the beginnings of a run that was killed counts as empty.
    ///
    /// Errors, in order: [`Io`](RunError::Io) if `out` is a file or cannot be read, [`Taken`](RunError::Taken).
    pub fn new(out: Option<&Path>) -> Result<Self, RunError> {
        out.map_or(Ok(()), check_vacant)?;
        Ok(Self {
            out: out.map(Path::to_path_buf),
        })
    }

    /// Creates the folder with its recipe and split; `split` is written as JSON. On an error nothing is left behind.
    ///
    /// Errors, in order: those of [`new`](Self::new), if the folder was taken meanwhile; [`Io`](RunError::Io), say on a read-only
    /// or full disk; [`InUse`](RunError::InUse); [`Encode`](RunError::Encode).
    pub fn create(self, recipe: &Recipe, split: &impl Serialize) -> Result<RunDir, RunError> {
        if let Some(out) = &self.out {
            check_vacant(out)?;
        }
        let wanted = self.out.as_deref().unwrap_or(Path::new(RUNS));
        let missing = wanted.ancestors().filter(|it| !it.as_os_str().is_empty());
        let mut made: Vec<PathBuf> = missing
            .take_while(|folder| !folder.exists())
            .map(Path::to_path_buf)
            .collect();
        let folder = fs::create_dir_all(wanted).and_then(|()| match &self.out {
            Some(out) => Ok(out.clone()),
            None => name::claim(Path::new(RUNS)).inspect(|root| made.insert(0, root.clone())),
        });
        let run = folder
            .map_err(|reason| RunError::io("create", wanted, reason))
            .and_then(|root| {
                let lock = Some(Lock::take(&root)?);
                // Whoever began a run here in the meantime has written its recipe, or was killed.
                check_vacant(&root)?;
                let run = RunDir { root, lock };
                match run.begin(recipe, split, &made) {
                    Ok(()) => Ok(run),
                    Err(error) => {
                        run.discard();
                        Err(error)
                    }
                }
            });
        if run.is_err() {
            // Innermost first; `remove_dir` spares a folder someone else has put a file into.
            made.iter().for_each(|folder| _ = fs::remove_dir(folder));
        }
        run
    }
}

/// Refuses a folder that holds anything but the beginnings of a run.
fn check_vacant(root: &Path) -> Result<(), RunError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(()),
        Err(reason) => return Err(RunError::io("use as a run folder", root, reason)),
    };
    let run = root.join(RECIPE).exists();
    let begun = |entry: fs::DirEntry| {
        let (name, path) = (entry.file_name(), entry.path());
        let empty = || fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        let part = |file: &&str| path == part_path(&root.join(file));
        name == LOCK
            || (name == CHECKPOINTS && empty())
            || BEGINNINGS.iter().any(|file| name == *file)
            || BEGINNINGS.iter().any(part)
    };
    if run || !entries.flatten().all(begun) {
        let path = root.into();
        return Err(RunError::Taken { path, run });
    }
    Ok(())
}

/// A run directory that exists, with its recipe.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    /// Held by who writes to the run.
    lock: Option<Lock>,
}

impl RunDir {
    /// Opens an existing run to read it. Error: [`NotARun`](RunError::NotARun) if there is no `recipe.toml` in it.
    pub fn open(root: &Path) -> Result<Self, RunError> {
        let run = Self {
            root: root.to_path_buf(),
            lock: None,
        };
        match run.file(RECIPE).is_file() {
            true => Ok(run),
            false => Err(RunError::NotARun { path: run.root }),
        }
    }

    /// Opens an existing run to go on with it.
    ///
    /// Errors, in order: that of [`open`](Self::open); [`Io`](RunError::Io) if it may not be written to; [`InUse`](RunError::InUse).
    pub fn resume(root: &Path) -> Result<Self, RunError> {
        let run = Self::open(root)?;
        let lock = Some(Lock::take(root)?);
        Ok(Self { lock, ..run })
    }

    /// Opens the run under `runs/` that was begun last, as [`resume`](Self::resume) does. A name does not tell: people give their own.
    pub fn resume_latest() -> Result<Self, RunError> {
        Self::resume(&latest_begun().unwrap_or_else(|| RUNS.into()))
    }

    /// Fills a new folder whose ancestors `made` are new too.
    fn begin(
        &self,
        recipe: &Recipe,
        split: &impl Serialize,
        made: &[PathBuf],
    ) -> Result<(), RunError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |reason| RunError::io("create", &path, reason)
        };
        fs::create_dir_all(self.file(CHECKPOINTS)).map_err(io(&self.root))?;
        self.write_json(SPLIT, split)?;
        write_atomic(&self.recipe_path(), recipe.to_toml().as_bytes())?;
        // The folder itself must outlive a power cut as its files do.
        made.iter()
            .try_for_each(|folder| sync_folder(parent(folder)).map_err(io(folder)))
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

    /// Refuses to go on under another recipe: [`OtherRecipe`](RunError::OtherRecipe) lists every key that differs and decides what comes
    /// out.
    pub fn check_recipe(&self, given: &Recipe) -> Result<(), RunError> {
        let mut differences = self.recipe()?.differences(given);
        differences.retain(|it| !recipe::WITHOUT_EFFECT_ON_RESULTS.contains(&it.key.as_str()));
        match differences.is_empty() {
            true => Ok(()),
            false => Err(RunError::OtherRecipe {
                path: self.root.clone(),
                differences,
            }),
        }
    }

    /// The platforms that worked on the run, in order; none for a run older than this record.
    pub fn platforms(&self) -> Result<Vec<Platform>, RunError> {
        match self.file(PLATFORMS).exists() {
            true => self.read_json(PLATFORMS),
            false => Ok(Vec::new()),
        }
    }

    /// Remembers that `platform` works on the run, unless it was the last to do so.
    pub fn add_platform(&self, platform: &Platform) -> Result<(), RunError> {
        let mut all = self.platforms()?;
        if all.last() == Some(platform) {
            return Ok(());
        }
        all.push(platform.clone());
        self.write_json(PLATFORMS, &all)
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
        read_checkpoint(&self.checkpoint_path(phase))
    }

    /// Forgets the checkpoint of `phase`, if there is one.
    pub fn remove_checkpoint(&self, phase: &str) -> Result<(), RunError> {
        remove(&self.checkpoint_path(phase))
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

    /// Takes back that the run is finished: a network is trained again.
    pub fn remove_summary(&self) -> Result<(), RunError> {
        remove(&self.file(SUMMARY))
    }

    /// The summary of a finished run, or `None` for one that is not.
    pub fn summary<T: DeserializeOwned>(&self) -> Result<Option<T>, RunError> {
        match self.is_finished() {
            true => self.read_json(SUMMARY).map(Some),
            false => Ok(None),
        }
    }

    /// Whether a summary was written.
    pub fn is_finished(&self) -> bool {
        self.file(SUMMARY).exists()
    }

    /// Writes `report.html`.
    pub fn write_report(&self, html: &str) -> Result<(), RunError> {
        write_atomic(&self.file(REPORT), html.as_bytes())
    }

    /// Removes a run that failed before it had anything to show: its own files, and the folder if nothing else is in it.
    pub fn discard(self) {
        _ = fs::remove_dir_all(self.file(CHECKPOINTS));
        for name in BEGINNINGS.into_iter().chain(RESULTS) {
            let path = self.file(name);
            _ = fs::remove_file(part_path(&path));
            _ = fs::remove_file(path);
        }
        if let Some(lock) = self.lock {
            lock.remove();
        }
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
}

/// The checkpoint in the file `path`, or `None` if there is no such file.
///
/// Errors: [`Io`](RunError::Io); [`Damaged`](RunError::Damaged) if it was cut short or altered.
pub fn read_checkpoint(path: &Path) -> Result<Option<Checkpoint>, RunError> {
    match fs::read(path) {
        Ok(bytes) => Checkpoint::from_bytes(&bytes)
            .map(Some)
            .map_err(|damage| RunError::Damaged {
                path: path.into(),
                bytes: bytes.len(),
                damage,
            }),
        Err(reason) if reason.kind() == ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(RunError::io("read", path, reason)),
    }
}

/// Writes a checkpoint to the file `path`, whole or not at all, and its folder where it is missing.
///
/// Errors: [`Io`](RunError::Io); [`Encode`](RunError::Encode) if a tensor's values are not as many as its shape says.
pub fn write_checkpoint(path: &Path, checkpoint: &Checkpoint) -> Result<(), RunError> {
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(|reason| RunError::io("create", folder, reason))?;
    write_atomic(path, &checkpoint.to_bytes()?)
}

fn remove(path: &Path) -> Result<(), RunError> {
    match fs::remove_file(path) {
        Err(reason) if reason.kind() != ErrorKind::NotFound => {
            Err(RunError::io("remove", path, reason))
        }
        _ => Ok(()),
    }
}

/// The run, or the series of runs, under `runs` that was begun last.
fn latest(runs: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    // Either file is written once, when all begins.
    let begun = |path: PathBuf| {
        let file = |name| path.join(name).metadata().ok();
        let begun = file(RECIPE).or_else(|| file(SERIES))?;
        Some((begun.modified().ok()?, path))
    };
    let latest = entries.filter_map(|entry| begun(entry.path())).max();
    latest.map(|(_, path)| path)
}

#[cfg(test)]
mod tests;
