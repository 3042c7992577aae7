use serde::{Deserialize, Serialize};

/// What one epoch of one training came to: a line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which training.
    pub phase: String,
    /// Counted from 1.
    pub epoch: usize,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean loss over the training images.
    pub train_loss: f64,
    /// The loss' terms as they enter the sum, by name.
    pub loss_terms: Vec<(String, f64)>,
    /// Share of training images predicted right while learning from them.
    pub train_accuracy: f64,
    /// Share of validation images predicted right after the epoch; `None` where none are kept.
    pub validation_accuracy: Option<f64>,
    /// Mean cross-entropy of the validation images; `None` where none are kept.
    pub validation_loss: Option<f64>,
    /// What the way to learn watches, by name: means over the epoch's steps.
    #[serde(default)]
    pub watched: Vec<(String, f64)>,
    /// Images per second over the epoch's training steps, augmentation, teachers and optimiser included.
    pub train_images_per_s: f64,
}
