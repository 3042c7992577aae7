use super::{Lesson, LogitLoss, Loss, Method};
use ghostlight_autodiff::KernelError;
use ghostlight_kernels::loss::distill::CrossEntropyOptions;
use ghostlight_kernels::planted;

/// Cross-entropy with the true labels: how teachers and lone students learn, and what the others learn beside.
pub struct LabelsMethod {
    /// Probability mass spread evenly over all classes.
    pub smoothing: f64,
    /// Weight of the term.
    pub weight: f64,
}

impl Method for LabelsMethod {
    fn on_logits(&self, _: f64, loss: &mut LogitLoss) {
        if self.weight > 0.0 {
            loss.cross_entropy = Some(CrossEntropyOptions {
                smoothing: planted::or("smoothing_forgotten", self.smoothing, 0.0),
                weight: planted::or("dkd_without_ce_weight", self.weight, 1.0),
                mixed: None,
            });
        }
    }

    fn weigh(
        &self,
        lesson: &Lesson,
        logits: &mut LogitLoss,
        _: &mut Loss,
    ) -> Result<(), KernelError> {
        if let Some(term) = &mut logits.cross_entropy {
            term.mixed = lesson.mixed.clone();
        }
        Ok(())
    }
}
