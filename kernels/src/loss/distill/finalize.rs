//! From what is known of the segments to the losses and to the slopes of the gradient: one lane a row, or, for a row that was split,
//! the row's numbers in all lanes.

use super::blueprint::{Blueprint, Extents};
use super::join::{Blocks, Rows, row_distances, row_divergence, row_max, row_sum};
use super::scratch::{Fact, Finding, Network, ScratchLayout};
use super::terms::{Constants, Destination, Factors, Pull, Samples, pull};
use crate::loss::decay::{Exponential, logarithm};
use crate::special::nan;
use cubecl::prelude::*;

/// Notes how the sums of both networks compare, for vector `v` of segments.
#[cube]
pub(super) fn compare<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    v: usize,
    #[comptime] t: usize,
    #[comptime] exponential: Exponential,
) {
    let own = scratch[layout.finding(v, t, Finding::StudentSum)];
    let taught = scratch[layout.finding(v, t, Finding::TeacherSum)];
    let ratio = taught / own;
    scratch[layout.finding(v, t, Finding::Ratio)] = ratio;
    scratch[layout.finding(v, t, Finding::LogRatio)] = logarithm::<F, N>(ratio, exponential);
}

/// A fact as the row's lanes see it: all lanes of a split row see its first segment.
#[cube]
fn of_row<F: Float, N: Size>(fact: Vector<F, N>, split: bool) -> Vector<F, N> {
    select(split, Vector::new(fact.extract(0usize)), fact)
}

/// `sum`, or NaN where a number that it should be seen with is not finite.
#[cube]
pub(super) fn beside<F: Float, N: Size>(sum: Vector<F, N>, number: Vector<F, N>) -> Vector<F, N> {
    let finite = number.abs().less_equal(&Vector::new(F::max_value()));
    select_many(finite, sum, Vector::new(nan::<F>()))
}

/// Writes the losses of the rows at `destination` and notes the slopes of their gradients.
#[cube]
pub(super) fn finalize<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    loss: &mut [F],
    factors: &[F],
    destination: &Destination,
    extents: &Extents,
    constants: &Sequence<Constants>,
    #[comptime] blueprint: Blueprint,
) {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut count = 1usize.runtime();
    if comptime!(!blueprint.whole) {
        count = extents.blocks;
    }
    let split = count > 1;
    let blocks = Blocks {
        count,
        vectors: (count + N::value() - 1) / N::value(),
    };
    let others = F::cast_from(extents.classes - 1);
    let student = comptime!(Network::STUDENT);
    let z = of_row::<F, N>(
        scratch[layout.fact(0usize, comptime!(student.target()))],
        split,
    );
    let mut student_max = scratch[layout.fact(0usize, comptime!(student.max()))];
    if split {
        student_max = row_max::<F, N>(&*scratch, layout, &blocks, student);
    }
    let factored = comptime!(blueprint.factored);
    let mut at_target = zero;
    let mut at_second = zero;
    let mut even = zero;
    #[unroll]
    for t in 0..comptime!(blueprint.uses.len()) {
        let uses = comptime!(blueprint.uses[t]);
        let term = constants.index(t);
        let inverse_t = term.inverse_t.get::<F>();
        let mut rows = Rows::<F, N> {
            student_max,
            teacher_max: student_max,
            student_sum: scratch[layout.finding(0usize, t, Finding::StudentSum)],
            teacher_sum: one,
        };
        if split {
            rows.student_sum = row_sum::<F, N>(
                &*scratch,
                layout,
                &blocks,
                student_max,
                inverse_t,
                t,
                student,
            );
        }
        let distance = (z - student_max) * Vector::new(inverse_t);
        rows.student_sum = beside::<F, N>(rows.student_sum, distance);
        let log_sum = logarithm::<F, N>(rows.student_sum, comptime!(blueprint.exponential));
        let odds = distance - log_sum;
        let mut samples = Samples::<F, N> {
            student_odds: odds,
            teacher_odds: odds,
            log_sum,
            distances: zero,
            divergence: zero,
            second: zero,
            share: zero,
        };
        if comptime!(uses.teacher.is_some()) {
            let teacher = comptime!(uses.network());
            let v = scratch[layout.fact(0usize, comptime!(teacher.target()))];
            let v = of_row::<F, N>(v, split);
            rows.teacher_max = scratch[layout.fact(0usize, comptime!(teacher.max()))];
            rows.teacher_sum = scratch[layout.finding(0usize, t, Finding::TeacherSum)];
            let mut apart = scratch[layout.finding(0usize, t, Finding::Divergence)];
            if split {
                let max = row_max::<F, N>(&*scratch, layout, &blocks, teacher);
                rows.teacher_max = max;
                rows.teacher_sum =
                    row_sum::<F, N>(&*scratch, layout, &blocks, max, inverse_t, t, teacher);
                let terms = comptime!(blueprint.terms);
                apart = row_divergence::<F, N>(
                    &*scratch, layout, &blocks, &rows, inverse_t, t, teacher, terms,
                );
            }
            let distance = (v - rows.teacher_max) * Vector::new(inverse_t);
            // A logit that is not finite shows in the divergence, whichever network's it is.
            rows.teacher_sum = beside::<F, N>(rows.teacher_sum, distance);
            rows.teacher_sum = beside::<F, N>(rows.teacher_sum, apart);
            samples.teacher_odds =
                distance - logarithm::<F, N>(rows.teacher_sum, comptime!(blueprint.exponential));
            samples.divergence = apart * (one / rows.teacher_sum);
        }
        if comptime!(uses.cross_entropy.is_some()) {
            samples.distances = scratch[layout.finding(0usize, t, Finding::Distances)];
            if split {
                samples.distances =
                    row_distances::<F, N>(&*scratch, layout, &blocks, student_max, t);
            }
            if comptime!(blueprint.mixed) {
                let second = of_row::<F, N>(scratch[layout.fact(0usize, Fact::Second)], split);
                let share = of_row::<F, N>(scratch[layout.fact(0usize, Fact::Share)], split);
                let there = share.greater_than(&zero);
                samples.second = select_many(there, second - student_max, zero);
                samples.share = share;
            }
        }
        let factors = Factors::<F, N>::new(factors, extents.factors, destination, uses, factored);
        let found = pull::<F, N>(
            loss,
            destination,
            others,
            &samples,
            &factors,
            term,
            uses,
            comptime!(blueprint.mixed),
            comptime!(blueprint.terms),
            comptime!(blueprint.exponential),
        );
        at_target += found.at_target;
        at_second += found.at_second;
        even += found.even;
        store_slopes::<F, N>(
            scratch,
            layout,
            &blocks,
            &rows,
            &found,
            inverse_t,
            split,
            t,
            comptime!(uses.teacher.map(|_| uses.network())),
        );
    }
    for vector in 0..blocks.vectors {
        scratch[layout.fact(vector, Fact::AtTarget)] = at_target;
        if comptime!(blueprint.mixed) {
            scratch[layout.fact(vector, Fact::AtSecond)] = at_second;
        }
        scratch[layout.fact(vector, Fact::Even)] = even;
    }
}

/// Notes what each segment's kept lines are multiplied by. The networks' distance was kept for the ratio of the segment's sums; what the
/// row's differs is made good by the student's own line, by 0 where the networks are equal.
#[cube]
fn store_slopes<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    blocks: &Blocks,
    rows: &Rows<F, N>,
    pull: &Pull<F, N>,
    inverse_t: F,
    split: bool,
    #[comptime] t: usize,
    #[comptime] teacher: Option<Network>,
) {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    for v in 0..blocks.vectors {
        let mut share = one / rows.student_sum;
        if split {
            let max = scratch[layout.fact(v, comptime!(Network::STUDENT.max()))];
            let down = max - rows.student_max;
            share *= (down * Vector::new(inverse_t)).exp();
        }
        let mut own = share * pull.own;
        if comptime!(teacher.is_some()) {
            let network = comptime!(teacher.unwrap_or(Network::STUDENT));
            let mut teacher_share = one / rows.teacher_sum;
            if split {
                let max = scratch[layout.fact(v, comptime!(network.max()))];
                let down = max - rows.teacher_max;
                teacher_share *= (down * Vector::new(inverse_t)).exp();
            }
            let ratio = scratch[layout.finding(v, t, Finding::Ratio)];
            own += pull.apart * (share - teacher_share * ratio);
            scratch[layout.finding(v, t, Finding::Apart)] = pull.apart * teacher_share;
        }
        scratch[layout.finding(v, t, Finding::Own)] = own;
    }
}
