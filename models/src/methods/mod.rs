//! Distillation methods: one file and one type each, saying what the student's loss is made of.

mod dkd;
mod supervised;

pub use dkd::DkdMethod;
pub use supervised::Supervised;

use ghostlight_autodiff::{KernelError, Labels, Tape, Tensor, Var};

/// One training batch as a method sees it.
pub struct Lesson<'a> {
    /// Where the loss is recorded.
    pub tape: &'a Tape,
    /// The student's logits `[n, c]`.
    pub student: &'a Var,
    /// The teacher's logits `[n, c]` for the same images, if the method asked for them.
    pub teacher: Option<&'a Tensor>,
    /// The true classes.
    pub labels: &'a Labels,
    /// The current epoch, counted from 1.
    pub epoch: usize,
}

/// One term of a loss.
pub struct Term {
    /// Its name in metrics and report.
    pub name: &'static str,
    /// Its value `[1]`.
    pub value: Var,
    /// Its weight in the sum.
    pub weight: f64,
}

/// What a network learns from a batch.
pub trait Method {
    /// Whether [`Lesson::teacher`] must be there.
    fn needs_teacher(&self) -> bool;

    /// The names of the terms, in the order of [`Method::terms`].
    fn names(&self) -> &'static [&'static str];

    /// The loss, term by term.
    ///
    /// # Errors
    /// Those of the losses' kernels; a missing teacher.
    fn terms(&self, lesson: &Lesson) -> Result<Vec<Term>, KernelError>;
}

#[cfg(test)]
mod tests;
