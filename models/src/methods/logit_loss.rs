use super::{Lesson, Loss, Reading, Values};
use ghostlight_autodiff::ops::Distill;
use ghostlight_autodiff::{KernelError, Tensor};
use ghostlight_kernels::loss::distill::{CrossEntropyOptions, DistillOptions, TeacherTerms};
use ghostlight_kernels::planted;
use std::cell::OnceCell;
use std::rc::Rc;

/// All terms of a step on logits: one launch, however many methods and teachers they are of.
#[derive(Default)]
pub struct LogitLoss {
    /// Cross-entropy with the labels.
    pub cross_entropy: Option<CrossEntropyOptions>,
    /// What multiplies the cross-entropy and each active teacher's terms, `[1 + teachers]` or `[n, 1 + teachers]`.
    pub factors: Option<Tensor>,
    taught: Vec<Taught>,
}

/// A teacher that is listened to.
struct Taught {
    index: usize,
    /// Of each term's weight.
    share: f64,
    /// What tells its terms from another teacher's.
    suffix: String,
    terms: TeacherTerms,
}

impl LogitLoss {
    /// No term yet, of the teachers `active` among those `listened` to, both counted from 0.
    pub fn new(listened: &[usize], active: &[usize]) -> Self {
        let suffix = |index: usize| match listened.len() {
            1 => String::new(),
            _ => format!(" {}", index + 1),
        };
        let taught = active.iter().map(|&index| Taught {
            index,
            share: planted::or("every_teacher_whole", 1.0 / active.len() as f64, 1.0),
            suffix: suffix(index),
            terms: TeacherTerms::default(),
        });
        Self {
            taught: taught.collect(),
            ..Self::default()
        }
    }

    /// Lets `set` add to the terms of every active teacher, given its share of their weight.
    pub fn teach(&mut self, mut set: impl FnMut(&mut TeacherTerms, f64)) {
        for taught in &mut self.taught {
            set(&mut taught.terms, taught.share);
        }
    }

    /// Those of the active teachers that have a term.
    fn heard(&self) -> impl Iterator<Item = &Taught> {
        self.taught.iter().filter(|it| it.terms.terms() > 0)
    }

    /// The active teachers that have a term, counted from 0.
    pub fn asked(&self) -> impl Iterator<Item = usize> {
        self.heard().map(|it| it.index)
    }

    /// The names of the terms, in their order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        names.extend(self.cross_entropy.as_ref().map(|_| "ce".to_string()));
        for Taught { suffix, terms, .. } in self.heard() {
            let on = [
                ("kd", terms.kd.is_some()),
                ("dkd", terms.dkd.is_some()),
                ("cosine", terms.cosine.is_some()),
            ];
            let on = on.into_iter().filter(|(_, on)| *on);
            names.extend(on.map(|(name, _)| format!("{name}{suffix}")));
        }
        names
    }

    /// Adds the terms to `loss`, if there are any.
    ///
    /// # Errors
    /// Those of the kernel; a teacher that was not asked.
    pub fn apply(self, lesson: &Lesson, loss: &mut Loss) -> Result<(), KernelError> {
        let names = self.names();
        if names.is_empty() {
            return Ok(());
        }
        let teachers = self
            .asked()
            .map(|index| Ok(lesson.teacher(index)?.logits.clone()));
        let terms = Rc::new(OnceCell::new());
        let of_teachers = self.heard().map(|it| it.terms).collect();
        let op = Distill {
            teachers: teachers.collect::<Result<_, KernelError>>()?,
            labels: Some(lesson.labels.clone()),
            options: DistillOptions {
                cross_entropy: self.cross_entropy,
                teachers: of_teachers,
            },
            factors: self.factors,
            terms: terms.clone(),
        };
        let value = lesson.tape.apply(op, &[&lesson.student.logits])?;
        loss.outputs.push((value, 1.0));
        let rows = names.len();
        let begin = move || {
            let found = terms.get().map(|found| found.losses.to_f64_later());
            let later = found.transpose()?;
            let values: Values = Box::new(move || {
                let Some(later) = later else {
                    return Ok(vec![0.0; rows]);
                };
                let losses = later.wait()?;
                let samples = (losses.len() / rows).max(1);
                Ok(losses.chunks(samples).map(|row| row.iter().sum()).collect())
            });
            Ok(values)
        };
        loss.terms.push(Reading {
            names,
            begin: Box::new(begin),
        });
        Ok(())
    }
}
