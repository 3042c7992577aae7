use crate::loss::check_temperature;
use crate::loss::distill::{CrossEntropyOptions, DistillOptions, TeacherTerms};
use crate::loss::kd::KdOptions;
use crate::{DType, KernelError};

/// The literals of the published rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Two teachers whose confidences are both below this get no weight.
    pub low: f64,
    /// A teacher of at least this confidence is trusted.
    pub high: f64,
    /// The least weight of a teacher where neither is trusted.
    pub minimum: f64,
    /// The weight of each of two trusted teachers, and what a confidence short of `high` is taken from where neither is.
    pub even: f64,
    /// The weight of a teacher that is not trusted, beside one that is.
    pub lesser: f64,
    /// The weight of a trusted teacher beside one that is not.
    pub greater: f64,
}

impl Default for Thresholds {
    /// The published values: thresholds 0.4 and 0.6, minimum 0.1, weights 0.5, 0.3 and 0.7.
    fn default() -> Self {
        Self {
            low: 0.4,
            high: 0.6,
            minimum: 0.1,
            even: 0.5,
            lesser: 0.3,
            greater: 0.7,
        }
    }
}

/// How two confidences become two weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The published rule.
    Thresholds(Thresholds),
    /// Each teacher's share of both confidences: an extension.
    Proportional,
}

/// Whose confidence is weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The mean over the batch, as published.
    Batch,
    /// Each sample's own: an extension.
    Sample,
}

/// How two teachers are weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DualTeacherOptions {
    /// Divides the logits before the confidences are taken; above 0.
    pub temperature: f64,
    /// From confidences to weights.
    pub rule: Rule,
    /// Whose confidences.
    pub scope: Scope,
}

impl Default for DualTeacherOptions {
    /// As published: temperature 5, the thresholds' rule, for the batch.
    fn default() -> Self {
        Self {
            temperature: 5.0,
            rule: Rule::Thresholds(Thresholds::default()),
            scope: Scope::Batch,
        }
    }
}

impl DualTeacherOptions {
    /// The terms that the factors were published for: the cross-entropy, and classical distillation of each teacher at the temperature.
    pub fn loss(&self) -> DistillOptions {
        let terms = TeacherTerms {
            kd: Some(KdOptions {
                temperature: self.temperature,
                weight: 1.0,
            }),
            ..TeacherTerms::default()
        };
        DistillOptions {
            cross_entropy: Some(CrossEntropyOptions::default()),
            teachers: vec![terms; 2],
        }
    }

    /// # Errors
    /// As [`DualTeacherProblem::new`](super::DualTeacherProblem::new) lists them.
    pub(super) fn check(&self, op: &'static str, dtype: DType) -> Result<(), KernelError> {
        check_temperature(op, dtype, self.temperature)?;
        let Rule::Thresholds(thresholds) = self.rule else {
            return Ok(());
        };
        let Thresholds {
            low,
            high,
            minimum,
            even,
            lesser,
            greater,
        } = thresholds;
        let shares = [
            ("low", low),
            ("high", high),
            ("minimum", minimum),
            ("even", even),
            ("lesser", lesser),
            ("greater", greater),
        ];
        for (parameter, value) in shares {
            KernelError::check_float(op, parameter, value, "from 0 to 1", |v| {
                (0.0..=1.0).contains(&v)
            })?;
        }
        KernelError::check_float(op, "low", low, "at most high", |low| low <= high)
    }
}
