use super::{Lesson, Method, Term};
use ghostlight_autodiff::KernelError;
use ghostlight_autodiff::ops::CrossEntropy;
use ghostlight_kernels::planted;

/// Cross-entropy with the true labels: how the teacher and the lone student learn.
pub struct Supervised {
    /// Probability mass spread evenly over all classes.
    pub smoothing: f64,
}

impl Method for Supervised {
    fn needs_teacher(&self) -> bool {
        false
    }

    fn names(&self) -> &'static [&'static str] {
        &["ce"]
    }

    fn terms(&self, lesson: &Lesson) -> Result<Vec<Term>, KernelError> {
        let loss = CrossEntropy {
            labels: lesson.labels.clone(),
            smoothing: planted::or("smoothing_forgotten", self.smoothing, 0.0),
        };
        let value = lesson.tape.apply(loss, &[lesson.student])?;
        Ok(vec![Term {
            name: "ce",
            value,
            weight: 1.0,
        }])
    }
}
