use super::{Lesson, LogitLoss, Loss, Method, Stages};
use crate::nn::{Linear, Pass, Path};
use crate::recipe::{Compared, Cosine};
use ghostlight_autodiff::{KernelError, Tape, Tensor, Var, ops};
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions};

/// The angle between the networks' answers, or between their features (Chatterjee et al. 2026; `docs/methods.md` section 5, whose
/// arguments are an interpretation).
pub struct CosineMethod {
    /// Weight, and what is compared.
    pub cosine: Cosine,
    /// Features and what projects the student's onto the teacher's, where features are compared.
    pub features: Option<Features>,
}

/// Stages whose averaged maps are compared.
pub struct Features {
    /// The student's.
    pub student: String,
    /// The teacher, counted from 0.
    pub teacher: usize,
    /// The teacher's.
    pub of_teacher: String,
    /// From the student's channels to the teacher's.
    pub projector: Linear,
}

impl Features {
    /// Declares the projector of stages with `[student, teacher]` channels at `path`.
    pub fn new(
        path: Path,
        student: (String, usize),
        teacher: usize,
        of_teacher: (String, usize),
    ) -> Self {
        Self {
            projector: Linear::unbiased(path, student.1, of_teacher.1),
            student: student.0,
            teacher,
            of_teacher: of_teacher.0,
        }
    }
}

/// The mean over the pixels of a map.
fn averaged(tape: &Tape, map: &Var) -> Result<Var, KernelError> {
    tape.apply(ops::GlobalAverage, &[map])
}

impl Method for CosineMethod {
    fn stages(&self) -> Stages {
        let of = |features: &Features| Stages {
            student: vec![features.student.clone()],
            teacher: Some((features.teacher, vec![features.of_teacher.clone()])),
        };
        self.features.as_ref().map(of).unwrap_or_default()
    }

    fn on_logits(&self, weight: f64, loss: &mut LogitLoss) {
        let between = match self.cosine.of {
            Compared::Logits => Comparison::Rows,
            Compared::Centred => Comparison::CentredRows,
            Compared::Probabilities => Comparison::Softmaxes(self.cosine.temperature),
            Compared::Features => return,
        };
        let weight = self.cosine.weight * weight;
        loss.teach(|terms, share| {
            terms.cosine = Some(CosineOptions {
                weight: weight * share,
                ..CosineOptions::of(between)
            });
        });
    }

    fn on_features(
        &self,
        lesson: &Lesson,
        weight: f64,
        pass: &Pass,
        loss: &mut Loss,
    ) -> Result<(), KernelError> {
        let Some(features) = &self.features else {
            return Ok(());
        };
        let map = lesson.student.stage(&features.student)?;
        let projected = features
            .projector
            .forward(pass, &averaged(lesson.tape, map)?)?;
        let theirs: &Tensor = lesson
            .teacher(features.teacher)?
            .stage(&features.of_teacher)?;
        let theirs = averaged(lesson.tape, &Var::constant(theirs.clone()))?;
        let cosine = ops::Cosine {
            teacher: theirs.tensor().clone(),
            options: CosineOptions::of(Comparison::Rows),
        };
        let value = lesson.tape.apply(cosine, &[&projected])?;
        loss.add("cosine of features", value, self.cosine.weight * weight);
        Ok(())
    }

    fn feature_terms(&self) -> Vec<String> {
        let name = self
            .features
            .as_ref()
            .map(|_| "cosine of features".to_string());
        name.into_iter().collect()
    }
}
