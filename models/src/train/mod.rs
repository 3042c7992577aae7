//! The training loop: one network over its epochs, with checkpoints from which it goes on bit by bit.

mod cache;
mod epoch;
mod error;
mod evaluate;
mod learner;
mod memory;
mod optimiser;
mod progress;
mod record;
mod training;

pub use cache::TeacherCache;
pub use error::TrainError;
pub use evaluate::{Answer, Evaluation, answers, evaluate, measure};
pub use memory::StepMemory;
pub use progress::{Progress, Silent};
pub use record::EpochRecord;
pub use training::{Trained, Training, take_epoch, train_network};

use crate::data::{Augment, ChannelStats, Dataset, Split};
use crate::profile::Watching;
use crate::recipe::{Recipe, Train};
use ghostlight_autodiff::{Client, Tape};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What all trainings of a run share.
pub struct Session<'a> {
    /// The device.
    pub client: &'a Client,
    /// The resolved recipe.
    pub recipe: &'a Recipe,
    /// The images.
    pub dataset: &'a Arc<Dataset>,
    /// Which of them train and which test.
    pub split: &'a Split,
    /// Statistics of the training images.
    pub stats: ChannelStats,
    /// Told what happens.
    pub progress: &'a dyn Progress,
    /// Where teachers' answers are kept from one training to the next, if they are.
    pub cache: Option<&'a TeacherCache>,
    /// Who watches the steps, if anybody does.
    pub watch: Option<&'a Watching>,
    /// Set from outside to stop after the current step, with a checkpoint.
    pub stop: &'a AtomicBool,
}

impl Session<'_> {
    /// A tape for one pass, watched if anybody does.
    fn tape(&self) -> Tape {
        self.watch
            .map_or_else(Tape::new, |watch| Tape::observed(watch.observer()))
    }

    /// Tells who watches what the host does now.
    fn host(&self, what: &'static str) {
        if let Some(watch) = self.watch {
            watch.host(what);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Passes until the work is to stop.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if self.stopped() {
            Err(TrainError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Images per batch outside of training steps.
    fn batch(&self) -> usize {
        self.batch_of(&self.recipe.train)
    }

    /// Images per training step: as `train` asks, or all there are.
    fn batch_of(&self, train: &Train) -> usize {
        train.batch.min(self.split.train.len())
    }

    fn steps_per_epoch(&self, train: &Train) -> usize {
        self.split.train.len() / self.batch_of(train)
    }

    fn augment(&self) -> Augment {
        self.recipe.augment.changes()
    }
}

/// The position of a training that has not begun, as a checkpoint remembers it.
pub(crate) fn nowhere() -> serde_json::Value {
    serde_json::json!(epoch::Position::default())
}

#[cfg(test)]
mod tests;
