//! What a pair of softmaxes of rows comes to, one lane a row: the losses of the terms that share it, and their slopes.

use super::problem::Uses;
use crate::lanes::store_unaligned;
use crate::loss::decay::{Exponential, Rate};
use crate::loss::log_space::{Odds, divergence, target_difference};
use crate::planted;
use cubecl::prelude::*;

/// The constants of one pair of softmaxes. Every weight includes what the mean over the batch and the temperature ask for.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Constants {
    pub inverse_t: InputScalar,
    pub rate: Rate,
    pub cross_entropy: InputScalar,
    pub smoothing: InputScalar,
    /// The smoothing over the number of classes.
    pub spread: InputScalar,
    /// The second class' share of what is the label's.
    pub share: InputScalar,
    pub kd_loss: InputScalar,
    pub kd_grad: InputScalar,
    pub alpha_loss: InputScalar,
    pub alpha_grad: InputScalar,
    pub beta_loss: InputScalar,
    pub beta_grad: InputScalar,
}

/// Rows' pairs of softmaxes, as all terms see them. The teacher's half is a copy of the student's where there is none.
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
    /// The distance of the second class' logit from the student's maximum, and its share; both 0 where it is the target.
    pub second: Vector<F, N>,
    pub share: Vector<F, N>,
}

/// The slope of all terms of one pair.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Pull<F: Float, N: Size> {
    /// At the target, and on top of all others at the second class.
    pub at_target: Vector<F, N>,
    pub at_second: Vector<F, N>,
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

/// What the terms of rows are multiplied by, a row a lane: factor `place` of each, of as many as `stride` apart; 1 without any.
#[cube]
pub(super) fn factor<F: Float, N: Size>(
    factors: &[F],
    stride: usize,
    destination: &Destination,
    #[comptime] place: Option<usize>,
) -> Vector<F, N> {
    let mut all = Vector::<F, N>::new(F::new(1.0f32));
    if comptime!(place.is_some()) {
        let place = comptime!(place.unwrap_or(0));
        #[unroll]
        for lane in 0..N::value().comptime() {
            // Lanes past the last row stand for it again, all lanes of a split row for that row.
            let behind = min(lane, destination.rows - 1);
            all.insert(lane, factors[(destination.n + behind) * stride + place]);
        }
    }
    all
}

/// What the terms of a pair are multiplied by.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Factors<F: Float, N: Size> {
    pub cross_entropy: Vector<F, N>,
    pub teacher: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Factors<F, N> {
    pub fn new(
        factors: &[F],
        stride: usize,
        destination: &Destination,
        #[comptime] uses: Uses,
        #[comptime] there: bool,
    ) -> Factors<F, N> {
        let entropy = comptime!((there && uses.cross_entropy.is_some()).then_some(0));
        let teacher = comptime!(uses.teacher.filter(|_| there).map(of_teacher));
        Factors::<F, N> {
            cross_entropy: factor::<F, N>(factors, stride, destination, entropy),
            teacher: factor::<F, N>(factors, stride, destination, teacher),
        }
    }
}

/// The place of a teacher's factor.
pub(super) fn of_teacher(teacher: usize) -> usize {
    planted::or("distill_factor_of_the_labels", 1 + teacher, 0)
}

#[cube]
pub(super) fn write<F: Float, N: Size>(
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
    factors: &Factors<F, N>,
    constants: &Constants,
    #[comptime] uses: Uses,
    #[comptime] mixed: bool,
    #[comptime] terms: usize,
    #[comptime] exponential: Exponential,
) -> Pull<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut at_target = zero;
    let mut at_second = zero;
    let mut own = zero;
    let mut apart = zero;
    let mut even = zero;
    let student = Odds::<F, N>::new(samples.student_odds, exponential);
    if comptime!(uses.cross_entropy.is_some()) {
        let row = comptime!(uses.cross_entropy.unwrap_or(0));
        let smoothing = constants.smoothing.get::<F>();
        let spread = Vector::<F, N>::new(constants.spread.get::<F>());
        let weight =
            Vector::<F, N>::new(constants.cross_entropy.get::<F>()) * factors.cross_entropy;
        let of_target = student.target_loss;
        let others = Vector::<F, N>::new(others);
        let of_others = others * (samples.log_sum + student.rest_loss) - samples.distances;
        let hard = Vector::<F, N>::new(F::new(1.0f32) - smoothing);
        let mut of_labels = of_target;
        let mut least = Vector::<F, N>::new(smoothing) - spread - student.rest;
        if comptime!(mixed) {
            let one = Vector::<F, N>::new(F::new(1.0f32));
            let of_second = samples.log_sum + student.rest_loss - samples.second;
            of_labels = (one - samples.share) * of_target + samples.share * of_second;
            let moved = hard * samples.share;
            least += moved;
            at_second -= weight * moved;
        }
        let found = weight * (hard * of_labels + spread * (of_target + of_others));
        write::<F, N>(loss, destination, row, found);
        at_target += weight * least;
        own += weight * student.rest;
        even -= weight * spread;
    }
    if comptime!(uses.teacher.is_some()) {
        let by = factors.teacher;
        let teacher = Odds::<F, N>::new(samples.teacher_odds, exponential);
        let binary = binary_divergence::<F, N>(&student, &teacher, terms);
        let gap = target_difference::<F, N>(&student, &teacher, terms, exponential);
        let mut alpha = zero;
        if comptime!(uses.kd.is_some()) {
            let row = comptime!(uses.kd.unwrap_or(0));
            // The divergence of the whole rows is that of target against rest, and that of the rests, which the teacher weighs.
            let doubt = teacher.rest;
            let weight = Vector::<F, N>::new(constants.kd_loss.get::<F>()) * by;
            let found = weight * (binary + doubt * samples.divergence);
            write::<F, N>(loss, destination, row, found);
            let slope = Vector::<F, N>::new(constants.kd_grad.get::<F>()) * by;
            alpha += slope;
            apart += slope * doubt;
        }
        if comptime!(uses.dkd.is_some()) {
            let row = comptime!(uses.dkd.unwrap_or(0));
            let alpha_loss = Vector::<F, N>::new(constants.alpha_loss.get::<F>()) * by;
            let beta_loss = Vector::<F, N>::new(constants.beta_loss.get::<F>()) * by;
            let found = alpha_loss * binary + beta_loss * samples.divergence;
            write::<F, N>(loss, destination, row, found);
            alpha += Vector::<F, N>::new(constants.alpha_grad.get::<F>()) * by;
            apart += Vector::<F, N>::new(constants.beta_grad.get::<F>()) * by;
        }
        at_target += alpha * gap;
        own -= alpha * gap;
    }
    Pull::<F, N> {
        at_target,
        at_second,
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
