//! The loops over files.

use super::decode::{self, Picture};
use super::folder::{DeepImages, LoadOptions};
use super::scan::Source;
use super::stretch::{Histogram, Stretch};
use super::{DataError, stop};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Many files on many threads, with progress, until it is stopped.
pub(super) struct Work<'a> {
    options: &'a LoadOptions<'a>,
    done: AtomicUsize,
    /// Files to be decoded, each as often as it is.
    pub total: AtomicUsize,
}

impl<'a> Work<'a> {
    pub(super) fn new(options: &'a LoadOptions<'a>) -> Self {
        Self {
            options,
            done: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
        }
    }

    pub(super) fn check(&self) -> Result<(), DataError> {
        stop::check(self.options.stop)
    }

    /// Does one file and reports it; `None` once stopped.
    pub(super) fn one<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        self.check().ok()?;
        let outcome = act();
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.options.progress)(done, self.total.load(Ordering::Relaxed));
        Some(outcome)
    }

    /// `act` for each file, not reported.
    pub(super) fn each<T: Send>(
        &self,
        files: &[&[Source]],
        act: impl Fn(&[Source]) -> T + Sync,
    ) -> Result<Vec<T>, DataError> {
        let act = |file: &&[Source]| self.check().map(|()| act(file));
        files.par_iter().map(act).collect()
    }

    /// Whether the range of the `deep` images must be found.
    pub(super) fn needs_range(&self, deep: &[&Source]) -> bool {
        !deep.is_empty() && !matches!(self.options.deep, DeepImages::AsInRun(Some(_)))
    }

    /// What the `deep` images are to be stretched by.
    pub(super) fn stretch(&self, deep: &[&Source]) -> Result<Option<Stretch>, DataError> {
        if !self.needs_range(deep) {
            return Ok(match self.options.deep {
                DeepImages::AsInRun(stretch) => stretch,
                _ => None,
            });
        }
        // A file that cannot be decoded has no range; it is refused, or skipped, when it is decoded for good.
        let histogram = deep
            .par_iter()
            .fold(Histogram::new, |mut histogram, source| {
                self.one(|| {
                    let picture = std::fs::read(&source.path).ok().map(decode::decode);
                    if let Some(Ok(Picture::Deep(samples))) = picture {
                        histogram.add(&samples);
                    }
                });
                histogram
            })
            .reduce(Histogram::new, Histogram::merge);
        self.check()?;
        if self.options.deep == DeepImages::Stretch {
            return Ok(Some(histogram.stretch()));
        }
        let in_run = self.options.deep != DeepImages::Refuse;
        let (first, others) = (deep[0].file().to_string(), deep.len() - 1);
        Err(DataError::deep(first, others, histogram.extremes(), in_run))
    }
}
