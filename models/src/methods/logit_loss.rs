use super::{Lesson, Loss};
use ghostlight_autodiff::{KernelError, ops};
use ghostlight_kernels::loss::cosine::CosineOptions;
use ghostlight_kernels::loss::distill::{CrossEntropyOptions, DistillOptions};
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::loss::dual_teacher::Teachers;
use ghostlight_kernels::loss::kd::KdOptions;
use std::cell::OnceCell;
use std::rc::Rc;

/// All terms of a step on logits.
#[derive(Default)]
pub struct LogitLoss {
    /// Cross-entropy with the labels.
    pub cross_entropy: Option<CrossEntropyOptions>,
    /// Both teachers with the weights that their confidence gives them.
    pub dual: Option<Teachers>,
    taught: Vec<Taught>,
}

/// A teacher's terms.
#[derive(Default)]
pub struct TeacherTerms {
    /// Classical distillation.
    pub kd: Option<KdOptions>,
    /// Decoupled distillation.
    pub dkd: Option<DkdOptions>,
    /// The angle, and its weight.
    pub cosine: Option<(CosineOptions, f64)>,
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
            share: 1.0 / active.len() as f64,
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

    /// The active teachers that have a term, counted from 0.
    pub fn asked(&self) -> impl Iterator<Item = usize> {
        let asked = |terms: &TeacherTerms| {
            terms.kd.is_some() || terms.dkd.is_some() || terms.cosine.is_some()
        };
        let taught = self.taught.iter();
        taught.filter(move |it| asked(&it.terms)).map(|it| it.index)
    }

    /// The names of the terms, in their order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        names.extend(self.cross_entropy.map(|_| "ce".to_string()));
        for Taught { suffix, terms, .. } in &self.taught {
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

    /// Adds the terms to `loss`.
    ///
    /// # Errors
    /// Those of the kernels; a teacher that was not asked.
    pub fn apply(self, lesson: &Lesson, loss: &mut Loss) -> Result<(), KernelError> {
        let student = &lesson.student.logits;
        if let Some(teachers) = self.dual {
            let labels = lesson.labels.clone();
            let value = lesson
                .tape
                .apply(ops::DualTeacher { teachers, labels }, &[student])?;
            loss.add("ce", value, 1.0);
            return Ok(());
        }
        let mut cross_entropy = self.cross_entropy;
        for Taught {
            index,
            suffix,
            terms,
            ..
        } in &self.taught
        {
            let teacher = &lesson.teacher(*index)?.logits;
            for options in [
                DistillOptions {
                    cross_entropy: cross_entropy.take(),
                    ..Default::default()
                },
                DistillOptions {
                    kd: terms.kd,
                    ..Default::default()
                },
                DistillOptions {
                    dkd: terms.dkd,
                    ..Default::default()
                },
            ] {
                let name = match options {
                    DistillOptions {
                        cross_entropy: Some(_),
                        ..
                    } => "ce".to_string(),
                    DistillOptions { kd: Some(_), .. } => format!("kd{suffix}"),
                    DistillOptions { dkd: Some(_), .. } => format!("dkd{suffix}"),
                    _ => continue,
                };
                let op = ops::Distill {
                    teacher: Some(teacher.clone()),
                    labels: Some(lesson.labels.clone()),
                    options,
                    terms: Rc::new(OnceCell::new()),
                };
                loss.add(&name, lesson.tape.apply(op, &[student])?, 1.0);
            }
            if let Some((options, weight)) = terms.cosine {
                let op = ops::Cosine {
                    teacher: teacher.clone(),
                    options,
                };
                loss.add(
                    &format!("cosine{suffix}"),
                    lesson.tape.apply(op, &[student])?,
                    weight,
                );
            }
        }
        if let Some(term) = cross_entropy {
            let op = ops::Distill {
                teacher: None,
                labels: Some(lesson.labels.clone()),
                options: DistillOptions {
                    cross_entropy: Some(term),
                    ..Default::default()
                },
                terms: Rc::new(OnceCell::new()),
            };
            loss.add("ce", lesson.tape.apply(op, &[student])?, 1.0);
        }
        Ok(())
    }
}
