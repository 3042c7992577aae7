//! What one row's softmaxes at one temperature come to: the losses of the terms that share it, and their slopes.

use super::decay::Rate;
use super::problem::Uses;
use crate::loss::log_space::{Odds, divergence, target_difference};
use cubecl::prelude::*;

/// One scalar, as the vector that [`divergence`] takes.
type One = Const<1>;

/// The constants of one temperature. Every weight includes what the mean over the batch and the temperature ask for.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Constants {
    pub inverse_t: InputScalar,
    pub rate: Rate,
    pub cross_entropy: InputScalar,
    pub smoothing: InputScalar,
    /// The smoothing over the number of classes.
    pub spread: InputScalar,
    pub kd_loss: InputScalar,
    pub kd_grad: InputScalar,
    pub alpha_loss: InputScalar,
    pub alpha_grad: InputScalar,
    pub beta_loss: InputScalar,
    pub beta_grad: InputScalar,
}

/// A row's softmaxes at one temperature, as all terms see them. The teacher's half is a copy of the student's where there is none.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Sample<F: Float> {
    /// `ln(p_target / (1 - p_target))`.
    pub student_odds: F,
    pub teacher_odds: F,
    /// The logarithm of the student's sum of non-target exponentials.
    pub log_sum: F,
    /// The sum of the distances of the student's non-target logits from their maximum.
    pub distances: F,
    /// The divergence between the non-target softmaxes.
    pub divergence: F,
}

/// The slope of all terms of one temperature.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Pull<F: Float> {
    /// At the target.
    pub at_target: F,
    /// On each of the other classes, multiplied by the student's probability among them.
    pub own: F,
    /// The same, multiplied by how far that probability lies above the teacher's.
    pub apart: F,
    /// The same, multiplied by nothing.
    pub even: F,
}

/// Writes the losses of sample `n` and returns their slope.
#[cube]
pub(super) fn pull<F: Float>(
    loss: &mut [F],
    n: usize,
    batch: usize,
    others: F,
    sample: &Sample<F>,
    constants: &Constants,
    #[comptime] uses: Uses,
    #[comptime] terms: usize,
) -> Pull<F> {
    let zero = F::new(0.0f32);
    let mut at_target = zero;
    let mut own = zero;
    let mut apart = zero;
    let mut even = zero;
    let student = Odds::<F>::new(sample.student_odds);
    if comptime!(uses.cross_entropy.is_some()) {
        let row = comptime!(uses.cross_entropy.unwrap_or(0));
        let smoothing = constants.smoothing.get::<F>();
        let spread = constants.spread.get::<F>();
        let weight = constants.cross_entropy.get::<F>();
        let of_target = student.target_loss;
        let of_others = others * (sample.log_sum + student.rest_loss) - sample.distances;
        let one = F::new(1.0f32);
        loss[row * batch + n] =
            weight * ((one - smoothing) * of_target + spread * (of_target + of_others));
        at_target += weight * (smoothing - spread - student.rest);
        own += weight * student.rest;
        even -= weight * spread;
    }
    if comptime!(uses.teacher()) {
        let teacher = Odds::<F>::new(sample.teacher_odds);
        let binary = binary_divergence::<F>(&student, &teacher, terms);
        let gap = target_difference::<F>(&student, &teacher, terms);
        let mut alpha = zero;
        if comptime!(uses.kd.is_some()) {
            let row = comptime!(uses.kd.unwrap_or(0));
            // The divergence of the whole rows is that of target against rest, and that of the rests, which the teacher weighs.
            let doubt = teacher.rest;
            loss[row * batch + n] =
                constants.kd_loss.get::<F>() * (binary + doubt * sample.divergence);
            alpha += constants.kd_grad.get::<F>();
            apart += constants.kd_grad.get::<F>() * doubt;
        }
        if comptime!(uses.dkd.is_some()) {
            let row = comptime!(uses.dkd.unwrap_or(0));
            loss[row * batch + n] = constants.alpha_loss.get::<F>() * binary
                + constants.beta_loss.get::<F>() * sample.divergence;
            alpha += constants.alpha_grad.get::<F>();
            apart += constants.beta_grad.get::<F>();
        }
        at_target += alpha * gap;
        own -= alpha * gap;
    }
    Pull::<F> {
        at_target,
        own,
        apart,
        even,
    }
}

/// The divergence of target against rest.
#[cube]
fn binary_divergence<F: Float>(
    student: &Odds<F>,
    teacher: &Odds<F>,
    #[comptime] terms: usize,
) -> F {
    let target = divergence::<F, One>(
        Vector::new(teacher.target),
        Vector::new(student.target),
        Vector::new(teacher.target_loss - student.target_loss),
        terms,
    );
    let rest = divergence::<F, One>(
        Vector::new(teacher.rest),
        Vector::new(student.rest),
        Vector::new(teacher.rest_loss - student.rest_loss),
        terms,
    );
    (target + rest).extract(0usize)
}
