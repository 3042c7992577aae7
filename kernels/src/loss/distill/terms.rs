//! What the softmaxes of rows at one temperature come to, one lane a row: the losses of the terms that share it, and their slopes.

use super::problem::Uses;
use crate::lanes::store_unaligned;
use crate::loss::decay::{Exponential, Rate};
use crate::loss::log_space::{Odds, divergence, target_difference};
use cubecl::prelude::*;

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

/// Rows' softmaxes at one temperature, as all terms see them. The teacher's half is a copy of the student's where there is none.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Samples<F: Float, N: Size> {
    /// `ln(p_target / (1 - p_target))`.
    pub student_odds: Vector<F, N>,
    pub teacher_odds: Vector<F, N>,
    /// The logarithm of the student's sum of non-target exponentials.
    pub log_sum: Vector<F, N>,
    /// The sum of the distances of the student's non-target logits from their maximum.
    pub distances: Vector<F, N>,
    /// The divergence between the non-target softmaxes.
    pub divergence: Vector<F, N>,
}

/// The slope of all terms of one temperature.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Pull<F: Float, N: Size> {
    /// At the target.
    pub at_target: Vector<F, N>,
    /// On each of the other classes, multiplied by the student's probability among them.
    pub own: Vector<F, N>,
    /// The same, multiplied by how far that probability lies above the teacher's.
    pub apart: Vector<F, N>,
    /// The same, multiplied by nothing.
    pub even: Vector<F, N>,
}

/// Where the losses of rows go.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Destination {
    /// The first of the rows, their number, and that of all rows.
    pub n: usize,
    pub rows: usize,
    pub batch: usize,
}

#[cube]
fn write<F: Float, N: Size>(
    loss: &mut [F],
    destination: &Destination,
    #[comptime] term: usize,
    value: Vector<F, N>,
) {
    let first = term * destination.batch + destination.n;
    let width = N::value().comptime();
    // Vectors are a CPU's here, which stores them anywhere.
    if comptime!(width > 1) && destination.rows == width {
        store_unaligned::<F, F, N>(loss, first, value);
    } else {
        for row in 0..destination.rows {
            loss[first + row] = value.extract_dynamic(row);
        }
    }
}

/// Writes the losses of rows and returns their slopes.
#[cube]
pub(super) fn pull<F: Float, N: Size>(
    loss: &mut [F],
    destination: &Destination,
    others: F,
    samples: &Samples<F, N>,
    constants: &Constants,
    #[comptime] uses: Uses,
    #[comptime] terms: usize,
    #[comptime] exponential: Exponential,
) -> Pull<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut at_target = zero;
    let mut own = zero;
    let mut apart = zero;
    let mut even = zero;
    let student = Odds::<F, N>::new(samples.student_odds, exponential);
    if comptime!(uses.cross_entropy.is_some()) {
        let row = comptime!(uses.cross_entropy.unwrap_or(0));
        let smoothing = constants.smoothing.get::<F>();
        let spread = Vector::<F, N>::new(constants.spread.get::<F>());
        let weight = Vector::<F, N>::new(constants.cross_entropy.get::<F>());
        let of_target = student.target_loss;
        let others = Vector::<F, N>::new(others);
        let of_others = others * (samples.log_sum + student.rest_loss) - samples.distances;
        let hard = Vector::<F, N>::new(F::new(1.0f32) - smoothing);
        let found = weight * (hard * of_target + spread * (of_target + of_others));
        write::<F, N>(loss, destination, row, found);
        at_target += weight * (Vector::new(smoothing) - spread - student.rest);
        own += weight * student.rest;
        even -= weight * spread;
    }
    if comptime!(uses.teacher()) {
        let teacher = Odds::<F, N>::new(samples.teacher_odds, exponential);
        let binary = binary_divergence::<F, N>(&student, &teacher, terms);
        let gap = target_difference::<F, N>(&student, &teacher, terms, exponential);
        let mut alpha = F::new(0.0f32);
        if comptime!(uses.kd.is_some()) {
            let row = comptime!(uses.kd.unwrap_or(0));
            // The divergence of the whole rows is that of target against rest, and that of the rests, which the teacher weighs.
            let doubt = teacher.rest;
            let weight = Vector::<F, N>::new(constants.kd_loss.get::<F>());
            let found = weight * (binary + doubt * samples.divergence);
            write::<F, N>(loss, destination, row, found);
            alpha += constants.kd_grad.get::<F>();
            apart += Vector::new(constants.kd_grad.get::<F>()) * doubt;
        }
        if comptime!(uses.dkd.is_some()) {
            let row = comptime!(uses.dkd.unwrap_or(0));
            let alpha_loss = Vector::<F, N>::new(constants.alpha_loss.get::<F>());
            let beta_loss = Vector::<F, N>::new(constants.beta_loss.get::<F>());
            let found = alpha_loss * binary + beta_loss * samples.divergence;
            write::<F, N>(loss, destination, row, found);
            alpha += constants.alpha_grad.get::<F>();
            apart += Vector::new(constants.beta_grad.get::<F>());
        }
        let alpha = Vector::<F, N>::new(alpha);
        at_target += alpha * gap;
        own -= alpha * gap;
    }
    Pull::<F, N> {
        at_target,
        own,
        apart,
        even,
    }
}

/// The divergence of target against rest.
#[cube]
fn binary_divergence<F: Float, N: Size>(
    student: &Odds<F, N>,
    teacher: &Odds<F, N>,
    #[comptime] terms: usize,
) -> Vector<F, N> {
    let target = divergence::<F, N>(
        teacher.target,
        student.target,
        teacher.target_loss - student.target_loss,
        terms,
    );
    let rest = divergence::<F, N>(
        teacher.rest,
        student.rest,
        teacher.rest_loss - student.rest_loss,
        terms,
    );
    target + rest
}
