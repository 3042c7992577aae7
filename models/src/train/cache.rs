use super::TrainError;
use crate::run::{Checkpoint, NamedTensor, RunError, read_checkpoint, write_checkpoint};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// What decides a teacher's answers in a training: equal keys, equal answers, to the bit. Augmentation is a function of seed, image and
/// epoch, so that they can be kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Key {
    /// Digest of the teacher's weights.
    pub weights: String,
    /// Its architecture.
    pub arch: String,
    /// Program and device: another one rounds otherwise.
    pub platform: String,
    /// The data set's fingerprint.
    pub data: String,
    /// Digest of the training images' numbers, in order.
    pub images: String,
    /// The images' statistics, as the bits of their numbers.
    pub stats: Vec<u32>,
    /// Orders the images, and changes them.
    pub seed: u64,
    /// The changes.
    pub augment: String,
    /// Images in a step.
    pub batch: usize,
}

/// Teachers' logits by all that decides them, in a folder that runs share.
pub struct TeacherCache {
    folder: PathBuf,
    answered: Cell<usize>,
    asked: Cell<usize>,
    saved: Cell<f64>,
}

/// What is remembered beside the logits.
#[derive(Debug, Default, Serialize, Deserialize)]
struct About {
    seconds: f64,
}

impl TeacherCache {
    /// The cache in `folder`, which is made when it is first written to.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            answered: Cell::new(0),
            asked: Cell::new(0),
            saved: Cell::new(0.0),
        }
    }

    /// Batches that the cache answered, batches that a teacher was asked for beside it, and the seconds that the former once took.
    pub fn used(&self) -> (usize, usize, f64) {
        (self.answered.get(), self.asked.get(), self.saved.get())
    }

    /// The answers of epoch `epoch`, counted from 0, of `steps` steps; those that a training lacks are taken up by
    /// [`CachedEpoch::learn`].
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(super) fn epoch(
        &self,
        key: &Key,
        epoch: usize,
        steps: usize,
        classes: usize,
    ) -> Result<CachedEpoch<'_>, TrainError> {
        let name = crate::run::digest_of(&serde_json::json!(key).to_string());
        let path = self
            .folder
            .join(&name[..32])
            .join(format!("epoch-{:05}.safetensors", epoch + 1));
        let len = key.batch * classes;
        let known = known(&path)?.and_then(|file| {
            let about: About = serde_json::from_value(file.state).ok()?;
            let logits = file.weights.into_iter().next()?;
            (logits.data.len() == steps * len).then_some((logits.data, about.seconds))
        });
        let (values, seconds, complete) = match known {
            Some((values, seconds)) => (values, seconds, true),
            None => (Vec::new(), 0.0, false),
        };
        Ok(CachedEpoch {
            cache: self,
            path,
            shape: vec![steps, key.batch, classes],
            values,
            seconds,
            complete,
        })
    }
}

/// The file of an epoch, unless it is missing or damaged: a teacher can be asked again.
fn known(path: &Path) -> Result<Option<Checkpoint>, RunError> {
    match read_checkpoint(path) {
        Err(RunError::Damaged { .. }) => Ok(None),
        found => found,
    }
}

/// The answers of one teacher in one epoch.
pub(super) struct CachedEpoch<'a> {
    cache: &'a TeacherCache,
    path: PathBuf,
    /// Steps, images of a step, classes.
    shape: Vec<usize>,
    /// Of the steps so far, or of all.
    values: Vec<f32>,
    seconds: f64,
    complete: bool,
}

impl CachedEpoch<'_> {
    /// The logits of `step`, if they are known.
    pub fn answer(&self, step: usize) -> Option<&[f32]> {
        let len = self.shape[1] * self.shape[2];
        let found = self.complete.then(|| &self.values[step * len..][..len]);
        if found.is_some() {
            let add = self.seconds / self.shape[0] as f64;
            self.cache.answered.set(self.cache.answered.get() + 1);
            self.cache.saved.set(self.cache.saved.get() + add);
        }
        found
    }

    /// Takes up the logits of `step`, which took `seconds`; the last step of an epoch of which none is missing writes the file.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn learn(&mut self, step: usize, logits: &[f32], seconds: f64) -> Result<(), TrainError> {
        self.cache.asked.set(self.cache.asked.get() + 1);
        // A training that went on in the middle of an epoch does not know its beginning.
        if self.values.len() != step * logits.len() {
            return Ok(());
        }
        self.values.extend_from_slice(logits);
        self.seconds += seconds;
        if step + 1 < self.shape[0] {
            return Ok(());
        }
        let about = About {
            seconds: self.seconds,
        };
        let file = Checkpoint {
            weights: vec![NamedTensor {
                name: "logits".into(),
                shape: self.shape.clone(),
                data: std::mem::take(&mut self.values),
            }],
            optimiser: Vec::new(),
            state: serde_json::json!(about),
        };
        Ok(write_checkpoint(&self.path, &file)?)
    }
}
