//! The training loop: one network over its epochs, with checkpoints from which it goes on bit by bit.

mod epoch;
mod error;
mod evaluate;
mod memory;
mod progress;
mod record;
mod training;

pub use error::TrainError;
pub use evaluate::{Answer, Evaluation, answers, evaluate, measure};
pub use memory::StepMemory;
pub use progress::{Progress, Silent};
pub use record::EpochRecord;
pub use training::{Training, train_network};

use crate::data::{Augment, ChannelStats, Dataset, Split};
use crate::recipe::Recipe;
use ghostlight_autodiff::Client;
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
    /// Set from outside to stop after the current step, with a checkpoint.
    pub stop: &'a AtomicBool,
}

impl Session<'_> {
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

    /// Images per training step: the recipe's, or all there are.
    fn batch(&self) -> usize {
        self.recipe.train.batch.min(self.split.train.len())
    }

    fn steps_per_epoch(&self) -> usize {
        self.split.train.len() / self.batch()
    }

    fn augment(&self) -> Augment {
        self.recipe.augment.changes()
    }
}

#[cfg(test)]
mod tests;
