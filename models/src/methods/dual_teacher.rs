use super::{Lesson, LogitLoss, Loss, Method, Reading};
use crate::recipe::DualTeacher;
use ghostlight_autodiff::KernelError;
use ghostlight_kernels::loss::dual_teacher::{DualTeacherOptions, Teachers};
use ghostlight_kernels::loss::kd::KdOptions;

/// Two teachers, each weighted by how confident it is of the batch (Le et al. 2025; `docs/methods.md` section 4.3).
pub struct DualTeacherMethod {
    /// Temperature and rule.
    pub dual: DualTeacher,
    /// Which teachers, counted from 0.
    pub teachers: [usize; 2],
}

impl Method for DualTeacherMethod {
    fn weigh(
        &self,
        lesson: &Lesson,
        logits: &mut LogitLoss,
        loss: &mut Loss,
    ) -> Result<(), KernelError> {
        let [first, second] = self.teachers.map(|index| lesson.teacher(index));
        let DualTeacher {
            temperature,
            low,
            high,
            minimum,
            even,
            lesser,
            greater,
            ..
        } = self.dual;
        let options = DualTeacherOptions {
            temperature,
            low,
            high,
            minimum,
            even,
            lesser,
            greater,
        };
        let teachers = Teachers::weigh(&first?.logits, &second?.logits, &options)?;
        let weights = teachers.weights().clone();
        loss.watched.push(Reading {
            names: self.watches(),
            read: Box::new(move || Ok(weights.to_f32()?.into_iter().map(f64::from).collect())),
        });
        logits.dual = Some(teachers);
        Ok(())
    }

    fn on_logits(&self, weight: f64, loss: &mut LogitLoss) {
        loss.teach(|terms, _| {
            terms.kd = Some(KdOptions {
                temperature: self.dual.temperature,
                weight,
            });
        });
    }

    fn watches(&self) -> Vec<String> {
        let of = |what: &str| self.teachers.map(|index| format!("{what} {}", index + 1));
        [of("confidence"), of("weight")].concat()
    }
}
