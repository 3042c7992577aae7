use crate::data::{ChannelStats, Dataset, ImageDigest, Skipped, Split, Stretch};
use crate::recipe::Recipe;
use crate::run::{RunDir, RunError};
use crate::train::TrainError;
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a run remembers of its data: `split.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunData {
    /// `synthetic`, or the folder.
    pub source: String,
    /// The data set's fingerprint.
    pub fingerprint: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Statistics of the training images.
    pub stats: ChannelStats,
    /// How samples of more than 8 bits became pixels, if there were any.
    pub stretch: Option<Stretch>,
    /// What was left out because it could not be used.
    pub skipped: Skipped,
    /// Whether such files are to be left out.
    #[serde(default)]
    pub skip_bad: bool,
    /// Which images train, which validate and which test.
    pub split: Split,
    /// One digest per image, by which `eval` recognises what was trained on; none in a run older than this record.
    #[serde(default)]
    pub digests: Vec<ImageDigest>,
}

impl RunData {
    /// Splits `dataset` and takes the training images' statistics, unless `stop` is set before.
    ///
    /// # Errors
    /// An `augment.shift` that is too wide for the images; those of the split and of the statistics.
    pub fn new(
        source: &str,
        dataset: &Dataset,
        skipped: impl Into<Skipped>,
        recipe: &Recipe,
        stop: &AtomicBool,
    ) -> Result<Self, TrainError> {
        recipe.augment.changes().check(dataset)?;
        let division = recipe.data.division();
        let split = Split::new(
            dataset.labelled(),
            Path::new(source),
            &division,
            recipe.seed,
        )?;
        Ok(Self {
            source: source.to_string(),
            fingerprint: dataset.fingerprint.clone(),
            classes: dataset.classes.clone(),
            height: dataset.height,
            width: dataset.width,
            stats: match planted::is("statistics_of_all_images") {
                false => ChannelStats::of(dataset, &split.train, stop)?,
                true => ChannelStats::of(dataset, &[&split.train[..], &split.test].concat(), stop)?,
            },
            stretch: dataset.stretch,
            skipped: skipped.into(),
            skip_bad: false,
            split,
            digests: dataset.digests.clone(),
        })
    }

    /// The digests of the images that the run was trained on or its epochs chosen by, to be looked for in `dataset`; `None` for a run that has no record of
    /// them, unless `dataset` is its own.
    pub fn trained_on(&self, dataset: &Dataset) -> Option<HashSet<ImageDigest>> {
        let digests = if self.fingerprint == dataset.fingerprint {
            &dataset.digests
        } else {
            &self.digests
        };
        let trained = self.split.train.iter().chain(&self.split.validation);
        trained.map(|&i| digests.get(i as usize).copied()).collect()
    }

    /// Refuses a data set that is not the run's.
    ///
    /// # Errors
    /// [`RunError::OtherData`].
    pub fn check(&self, run: &RunDir, dataset: &Dataset) -> Result<(), RunError> {
        if self.fingerprint == dataset.fingerprint {
            return Ok(());
        }
        let (was, now) = (self.source.clone(), dataset.name.clone());
        Err(RunError::OtherData {
            path: run.path().to_path_buf(),
            was,
            now,
        })
    }
}
