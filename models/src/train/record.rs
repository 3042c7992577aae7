use crate::methods::WEIGHT;
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

impl EpochRecord {
    /// Whether a way that weighs its teachers gave them nothing in all of the epoch's steps: the network learned from the labels alone.
    pub fn teachers_are_silent(&self) -> bool {
        let weights = || {
            self.watched
                .iter()
                .filter(|(name, _)| name.starts_with(WEIGHT))
        };
        weights().next().is_some() && weights().all(|(_, weight)| *weight == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teachers_are_silent_where_all_of_them_weigh_nothing() {
        let record = |watched: &[(&str, f64)]| EpochRecord {
            phase: "student_dual".into(),
            epoch: 1,
            lr: 0.1,
            train_loss: 1.0,
            loss_terms: Vec::new(),
            train_accuracy: 0.5,
            validation_accuracy: None,
            validation_loss: None,
            watched: watched
                .iter()
                .map(|(name, value)| (name.to_string(), *value))
                .collect(),
            train_images_per_s: 1.0,
        };
        let confidence = ("confidence 1", 0.3);
        let silent = record(&[confidence, ("weight 1", 0.0), ("weight 2", 0.0)]);
        assert!(silent.teachers_are_silent());
        assert!(
            !record(&[confidence, ("weight 1", 0.0), ("weight 2", 1e-9)]).teachers_are_silent()
        );
        assert!(!record(&[confidence]).teachers_are_silent());
    }
}
