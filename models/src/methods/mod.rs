//! Distillation methods: one file and one type each, saying what a student's loss is made of.
//!
//! A [`Method`] adds terms on logits to a [`LogitLoss`], which is one launch however many methods and teachers it serves, or makes terms on
//! features of its own. A [`Way`] is what a recipe puts together of them; combining methods is the recipe's matter.

mod align;
mod cosine;
mod dkd;
mod dual_teacher;
mod kd;
mod labels;
mod logit_loss;
mod way;

pub use align::AlignMethod;
pub use cosine::CosineMethod;
pub use dkd::DkdMethod;
pub use dual_teacher::DualTeacherMethod;
pub use kd::KdMethod;
pub use labels::LabelsMethod;
pub use logit_loss::LogitLoss;
pub use way::{Need, Way, WayError};

use crate::nn::Pass;
use ghostlight_autodiff::{KernelError, Labels, Tape, Tensor, Var};
use ghostlight_kernels::loss::distill::Mixed;
use ghostlight_kernels::planted;

/// What a network answers for a batch: its logits `[n, c]`, and the stages that were asked for, by name.
pub struct Answers<T> {
    /// The logits `[n, c]`.
    pub logits: T,
    /// The maps `[n, h, w, c]` of the stages.
    pub stages: Vec<(String, T)>,
}

impl<T> Answers<T> {
    /// The value of the stage `name`.
    ///
    /// # Errors
    /// Nobody asked for it.
    pub fn stage(&self, name: &str) -> Result<&T, KernelError> {
        let found = self.stages.iter().find(|(stage, _)| stage == name);
        let absent = || KernelError::range("lesson", "stage", name, "one that was asked for");
        found.map(|(_, value)| value).ok_or_else(absent)
    }
}

/// One training batch as a method sees it.
pub struct Lesson<'a> {
    /// Where the loss is recorded.
    pub tape: &'a Tape,
    /// The student's answers.
    pub student: &'a Answers<Var>,
    /// The teachers' answers for the same images, by the recipe's numbers less one; none of those that nobody asked.
    pub teachers: &'a [Option<Answers<Tensor>>],
    /// The true classes.
    pub labels: &'a Labels,
    /// The classes of what is mixed into the images, and its share.
    pub mixed: Option<Mixed>,
    /// The current epoch, counted from 1.
    pub epoch: usize,
    /// Decides what a method leaves to chance: another number in each step.
    pub seed: u64,
}

impl Lesson<'_> {
    /// The answers of teacher `index`, counted from 0.
    ///
    /// # Errors
    /// Nobody asked it.
    pub fn teacher(&self, index: usize) -> Result<&Answers<Tensor>, KernelError> {
        let answers = self.teachers.get(index).and_then(Option::as_ref);
        let absent = || KernelError::range("lesson", "teacher", index + 1, "one that was asked");
        answers.ok_or_else(absent)
    }
}

/// How the names of teachers' weights begin, among what is watched.
pub(crate) const WEIGHT: &str = "weight";

/// Values of a step that are read on the host once the device is done with it, by name.
pub struct Reading {
    /// What each value is called in metrics and report.
    pub names: Vec<String>,
    /// Begins to read them, once all launches of the step are made.
    pub begin: Box<dyn FnOnce() -> Result<Values, KernelError>>,
}

/// Waits for values that are on their way to the host.
pub type Values = Box<dyn FnOnce() -> Result<Vec<f64>, KernelError>>;

/// The loss of one step: what is differentiated, and what is read of it.
#[derive(Default)]
pub struct Loss {
    /// Values `[1]` on the tape with their weights; the loss is their weighted sum.
    pub outputs: Vec<(Var, f64)>,
    /// The terms by name, weighted.
    pub terms: Vec<Reading>,
    /// What methods watch beside the loss.
    pub watched: Vec<Reading>,
}

impl Loss {
    /// Adds the term `name`: `value` `[1]`, times `weight`.
    pub fn add(&mut self, name: &str, value: Var, weight: f64) {
        let read = value.tensor().clone();
        let entered = planted::or("terms_without_weight", weight, 1.0);
        let begin = move || {
            let later = read.to_f64_later()?;
            let values: Values = Box::new(move || Ok(vec![entered * later.wait()?[0]]));
            Ok(values)
        };
        self.terms.push(Reading {
            names: vec![name.to_string()],
            begin: Box::new(begin),
        });
        self.outputs.push((value, weight));
    }
}

/// The stages that a method compares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stages {
    /// The student's.
    pub student: Vec<String>,
    /// Whose maps they are compared with, counted from 0, and which.
    pub teacher: Option<(usize, Vec<String>)>,
}

/// What a network learns from a batch. Every part of it has a default of nothing.
pub trait Method {
    /// The stages to keep for it.
    fn stages(&self) -> Stages {
        Stages::default()
    }

    /// Adds its terms on logits, the teachers' each times `weight`.
    fn on_logits(&self, _weight: f64, _: &mut LogitLoss) {}

    /// Weighs the terms on logits by what the teachers say of this batch.
    ///
    /// # Errors
    /// Those of the kernels; a teacher that was not asked.
    fn weigh(&self, _: &Lesson, _: &mut LogitLoss, _: &mut Loss) -> Result<(), KernelError> {
        Ok(())
    }

    /// Adds the terms on features that it makes, each times `weight`; `pass` lends it the parameters that it declared for itself.
    ///
    /// # Errors
    /// Those of the kernels; a teacher that was not asked, or a stage that was not asked for.
    fn on_features(
        &self,
        _: &Lesson,
        _weight: f64,
        _: &Pass,
        _: &mut Loss,
    ) -> Result<(), KernelError> {
        Ok(())
    }

    /// The names of its terms on features.
    fn feature_terms(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of what it watches beside the loss.
    fn watches(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
