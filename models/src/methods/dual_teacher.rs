use super::{Lesson, LogitLoss, Loss, Method, Reading, Values, WEIGHT};
use crate::recipe::{self, DualTeacher};
use ghostlight_autodiff::KernelError;
use ghostlight_kernels::loss::dual_teacher::{DualTeacherOptions, Rule, Scope, Thresholds, weigh};
use ghostlight_kernels::loss::kd::KdOptions;

/// Two teachers, each weighted by how confident it is of the batch (Le et al. 2025; `docs/methods.md` section 4.3).
pub struct DualTeacherMethod {
    /// Temperature and rule.
    pub dual: DualTeacher,
    /// Which teachers, counted from 0.
    pub teachers: [usize; 2],
}

impl DualTeacherMethod {
    fn options(&self) -> DualTeacherOptions {
        let DualTeacher {
            temperature,
            rule,
            per_sample,
            low,
            high,
            minimum,
            even,
            lesser,
            greater,
        } = self.dual;
        DualTeacherOptions {
            temperature,
            rule: match rule {
                recipe::Rule::Proportional => Rule::Proportional,
                recipe::Rule::Table => Rule::Thresholds(Thresholds {
                    low,
                    high,
                    minimum,
                    even,
                    lesser,
                    greater,
                }),
            },
            scope: match per_sample {
                true => Scope::Sample,
                false => Scope::Batch,
            },
        }
    }
}

impl Method for DualTeacherMethod {
    fn weigh(
        &self,
        lesson: &Lesson,
        logits: &mut LogitLoss,
        loss: &mut Loss,
    ) -> Result<(), KernelError> {
        let [first, second] = self.teachers.map(|index| lesson.teacher(index));
        let found = weigh(&first?.logits, &second?.logits, &self.options())?;
        logits.factors = Some(found.factors);
        let begin = move || {
            let later = found.weights.to_f64_later()?;
            let values: Values = Box::new(move || {
                // One row for the batch, or one a sample.
                let rows = later.wait()?;
                let count = (rows.len() / 4).max(1) as f64;
                let mean = |column: usize| rows.iter().skip(column).step_by(4).sum::<f64>() / count;
                Ok((0..4).map(mean).collect())
            });
            Ok(values)
        };
        loss.watched.push(Reading {
            names: self.watches(),
            begin: Box::new(begin),
        });
        Ok(())
    }

    fn on_logits(&self, weight: f64, loss: &mut LogitLoss) {
        // The factors share the weight.
        loss.teach(|terms, _| {
            terms.kd = Some(KdOptions {
                temperature: self.dual.temperature,
                weight,
            });
        });
    }

    fn watches(&self) -> Vec<String> {
        let of = |what: &str| self.teachers.map(|index| format!("{what} {}", index + 1));
        [of("confidence"), of(WEIGHT)].concat()
    }
}
