//! Walks over the classes of as many rows as a vector has lanes. What is kept of a target is 0, so that only the walks over logits ask
//! for it.

use super::super::blueprint::Blueprint;
use super::super::passes::Wanted;
use super::super::scratch::{Fact, Finding, Network, ScratchLayout};
use super::super::terms::Constants;
use crate::loss::decay::decay;
use crate::loss::lane_reduce::larger;
use crate::loss::log_space::divergence_apart;
use crate::row_per_lane::RowPerLane;
use crate::special::nan;
use cubecl::prelude::*;

/// The targets of rows.
#[cube]
fn targets<N: Size>(
    labels: &[u32],
    rows: &RowPerLane<N>,
    #[comptime] labelled: bool,
) -> Vector<u32, N> {
    let mut target = Vector::<u32, N>::new(0u32);
    if comptime!(labelled) {
        target = rows.labels(labels);
    }
    target
}

/// Keeps the exponentials of rows and notes their maxima and sums.
#[cube]
pub(super) fn sum<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    labels: &[u32],
    mixed: &[u32],
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    rows: &RowPerLane<N>,
    constants: &Sequence<Constants>,
    #[comptime] blueprint: Blueprint,
) {
    let target = targets::<N>(labels, rows, comptime!(blueprint.labelled));
    let networks = comptime!(blueprint.networks());
    #[unroll]
    for i in 0..comptime!(networks.len()) {
        let network = comptime!(networks[i]);
        read::<S, F, B, N>(
            logits.index(comptime!(network.0)),
            scratch,
            layout,
            rows,
            target,
            comptime!(blueprint.last_of(network)),
            network,
        );
    }
    if comptime!(blueprint.mixed) {
        let second = rows.labels(mixed);
        let mut z = Vector::<F, N>::new(F::new(0.0f32));
        for class in 0..rows.length {
            let is_second = second.equal(&Vector::new(u32::cast_from(class)));
            let kept = layout.student(0usize, comptime!(blueprint.last_of(Network::STUDENT)));
            z = select_many(is_second, scratch[kept + class], z);
        }
        let share = Vector::<F, N>::new(constants.index(0usize).share.get::<F>());
        let none = Vector::new(F::new(0.0f32));
        scratch[layout.fact(0usize, Fact::Second)] = z;
        scratch[layout.fact(0usize, Fact::Share)] = select_many(second.equal(&target), none, share);
    }
    #[unroll]
    for t in 0..comptime!(blueprint.uses.len()) {
        let network = comptime!(blueprint.uses[t].network());
        exponentials::<F, N>(
            scratch,
            layout,
            target,
            rows.length,
            constants.index(t),
            t,
            comptime!(blueprint.last_of(Network::STUDENT)),
            comptime!(blueprint.last_of(network)),
            network,
            comptime!(blueprint.wanted(t)),
        );
    }
}

/// Keeps the logits of a network where its exponentials of pair `t` will be, and notes the target's and the largest of the
/// others, a NaN being none.
#[cube]
fn read<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    rows: &RowPerLane<N>,
    target: Vector<u32, N>,
    #[comptime] t: usize,
    #[comptime] network: Network,
) {
    let line = if comptime!(network == Network::STUDENT) {
        layout.student(0usize, t)
    } else {
        layout.teacher(0usize, t)
    };
    let mut max = Vector::<F, N>::new(F::min_value());
    let mut of_target = max;
    for class in 0..rows.length {
        let z = rows.load::<S, F, B>(logits, class);
        scratch[line + class] = z;
        let is_target = target.equal(&Vector::new(u32::cast_from(class)));
        of_target = select_many(is_target, z, of_target);
        max = select_many(is_target, max, larger::<F, N>(z, max));
    }
    scratch[layout.fact(0usize, comptime!(network.target()))] = of_target;
    scratch[layout.fact(0usize, comptime!(network.max()))] = max;
}

/// Keeps `exp((z - max) / T)` of every class of both networks of pair `t`, 0 for the target, and notes the sums. The logits are where
/// the exponentials of the pairs `kept` and `kept_of_teacher` will be.
#[cube]
fn exponentials<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    target: Vector<u32, N>,
    classes: usize,
    constants: &Constants,
    #[comptime] t: usize,
    #[comptime] kept: usize,
    #[comptime] kept_of_teacher: usize,
    #[comptime] network: Network,
    #[comptime] wanted: Wanted,
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let exponential = comptime!(wanted.exponential);
    let (rate, floor) = (
        constants.rate.rate.get::<F>(),
        constants.rate.floor.get::<F>(),
    );
    let student_max = scratch[layout.fact(0usize, comptime!(Network::STUDENT.max()))];
    let teacher_max = scratch[layout.fact(0usize, comptime!(network.max()))];
    let mut student_sum = zero;
    let mut teacher_sum = zero;
    let mut distances = zero;
    for class in 0..classes {
        let is_target = target.equal(&Vector::new(u32::cast_from(class)));
        let d = select_many(
            is_target,
            zero,
            scratch[layout.student(0usize, kept) + class] - student_max,
        );
        let e = select_many(is_target, zero, decay::<F, N>(d, rate, floor, exponential));
        if comptime!(wanted.teacher.is_some()) {
            let teacher_d = select_many(
                is_target,
                zero,
                scratch[layout.teacher(0usize, kept_of_teacher) + class] - teacher_max,
            );
            let taught = select_many(
                is_target,
                zero,
                decay::<F, N>(teacher_d, rate, floor, exponential),
            );
            teacher_sum += taught;
            scratch[layout.teacher(0usize, t) + class] = taught;
            if comptime!(wanted.apart) {
                let at = layout.distances(0usize, comptime!(wanted.teacher.unwrap_or(0))) + class;
                scratch[at] = d - teacher_d;
            }
        }
        scratch[layout.student(0usize, t) + class] = e;
        student_sum += e;
        distances += d;
    }
    if comptime!(wanted.distances) {
        let reach = (distances * Vector::new(constants.inverse_t.get::<F>())).abs();
        let near = reach.less_equal(&Vector::new(F::max_value()));
        student_sum = select_many(near, student_sum, Vector::new(nan::<F>()));
        scratch[layout.finding(0usize, t, Finding::Distances)] = distances;
    }
    scratch[layout.finding(0usize, t, Finding::StudentSum)] = student_sum;
    if comptime!(wanted.teacher.is_some()) {
        scratch[layout.finding(0usize, t, Finding::TeacherSum)] = teacher_sum;
    }
}

/// Notes how far the softmaxes diverge, and keeps how far they lie apart in the place of the teacher's exponentials.
#[cube]
pub(super) fn divergence<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    classes: usize,
    inverse_t: F,
    #[comptime] t: usize,
    #[comptime] teacher: usize,
    #[comptime] terms: usize,
) {
    let ratio = scratch[layout.finding(0usize, t, Finding::Ratio)];
    let log_ratio = scratch[layout.finding(0usize, t, Finding::LogRatio)];
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for class in 0..classes {
        let q = scratch[layout.teacher(0usize, t) + class];
        let r = fma(
            scratch[layout.distances(0usize, teacher) + class],
            Vector::new(inverse_t),
            log_ratio,
        );
        let apart = fma(scratch[layout.student(0usize, t) + class], ratio, -q);
        scratch[layout.teacher(0usize, t) + class] = apart;
        sum += divergence_apart::<F, N>(q, apart, r, terms);
    }
    scratch[layout.finding(0usize, t, Finding::Divergence)] = sum;
}

/// Writes the gradient of the rows at hand.
#[cube]
pub(super) fn gradient<F: Float, B: Size, N: Size>(
    scratch: &[Vector<F, N>],
    grad: &mut [Vector<F, B>],
    labels: &[u32],
    mixed: &[u32],
    layout: &ScratchLayout,
    rows: &RowPerLane<N>,
    #[comptime] blueprint: Blueprint,
) {
    let taught = comptime!(blueprint.taught());
    let target = targets::<N>(labels, rows, comptime!(blueprint.labelled));
    let at_target = scratch[layout.fact(0usize, Fact::AtTarget)];
    let even = scratch[layout.fact(0usize, Fact::Even)];
    let mut second = target;
    let mut at_second = even;
    if comptime!(blueprint.mixed) {
        second = rows.labels(mixed);
        at_second = scratch[layout.fact(0usize, Fact::AtSecond)];
    }
    for class in 0..rows.length {
        let mut sum = even;
        #[unroll]
        for t in 0..comptime!(taught.len()) {
            let own = scratch[layout.finding(0usize, t, Finding::Own)];
            sum = fma(scratch[layout.student(0usize, t) + class], own, sum);
            if comptime!(taught[t]) {
                let apart = scratch[layout.finding(0usize, t, Finding::Apart)];
                sum = fma(scratch[layout.teacher(0usize, t) + class], apart, sum);
            }
        }
        if comptime!(blueprint.mixed) {
            let is_second = second.equal(&Vector::new(u32::cast_from(class)));
            sum = select_many(is_second, sum + at_second, sum);
        }
        let is_target = target.equal(&Vector::new(u32::cast_from(class)));
        rows.store::<F, F, B>(grad, class, select_many(is_target, at_target, sum));
    }
}
