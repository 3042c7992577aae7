use super::{Lesson, Method, Supervised, Term};
use crate::recipe::Distill;
use ghostlight_autodiff::KernelError;
use ghostlight_autodiff::ops::Dkd;
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::planted;

/// Decoupled knowledge distillation (Zhao et al. 2022; `docs/methods.md` section 2.2): cross-entropy plus DKD, whose weight grows linearly
/// over the first epochs.
pub struct DkdMethod {
    /// Weights, temperature and warm-up.
    pub distill: Distill,
    /// The cross-entropy term before its weight.
    pub supervised: Supervised,
}

impl Method for DkdMethod {
    fn needs_teacher(&self) -> bool {
        true
    }

    fn names(&self) -> &'static [&'static str] {
        &["ce", "dkd"]
    }

    fn terms(&self, lesson: &Lesson) -> Result<Vec<Term>, KernelError> {
        let missing = || KernelError::range("dkd", "teacher", "absent", "the teacher's logits");
        let Distill {
            alpha,
            beta,
            temperature,
            ce_weight,
            ..
        } = self.distill;
        let weight = f64::from(self.distill.weight_at(lesson.epoch));
        let weight = planted::or("dkd_without_warmup", weight, 1.0);
        let loss = Dkd {
            teacher: lesson.teacher.ok_or_else(missing)?.clone(),
            labels: lesson.labels.clone(),
            options: DkdOptions {
                alpha,
                beta,
                temperature,
                weight,
            },
        };
        let mut terms = self.supervised.terms(lesson)?;
        terms[0].weight = planted::or("dkd_without_ce_weight", ce_weight, 1.0);
        let value = lesson.tape.apply(loss, &[lesson.student])?;
        terms.push(Term {
            name: "dkd",
            value,
            weight: 1.0,
        });
        Ok(terms)
    }
}
