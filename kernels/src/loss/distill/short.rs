//! Short rows on a CPU: the lanes are rows, and every walk takes one class of all of them at a time.

use super::decay::decay;
use super::fused::{Blueprint, Extents, ExtentsLaunch};
use super::launch::constants;
use super::notes::{
    APART, AT_TARGET, DISTANCES, DIVERGENCE, EVEN, LOG_RATIO, Notes, OWN, RATIO, STUDENT_MAX,
    STUDENT_SUM, STUDENT_TARGET, TEACHER_MAX, TEACHER_SUM, notes_len,
};
use super::problem::DistillProblem;
use super::settle::{compare, settle};
use super::sweeps::Wanted;
use super::terms::{Constants, Place};
use crate::abreast::Abreast;
use crate::lanes::Lanes;
use crate::loss::fold::larger;
use crate::loss::log_space::divergence_apart;
use crate::special::nan;
use crate::{Labels, Tensor, launch};
use cubecl::prelude::*;

/// One unit owns a run of bundles of as many rows as a vector has lanes.
#[cube(launch_unchecked)]
pub(super) fn short<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<S, B>],
    notes: &mut [Vector<F, N>],
    _anywhere: &[S],
    constants: Sequence<Constants>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let temperatures = comptime!(blueprint.uses.len());
    let at = Notes::new::<N>(&extents, temperatures);
    let first = ABSOLUTE_POS * extents.run;
    let last = min(first + extents.run, extents.batch);
    let mut n = first;
    while n < last {
        let rows = Abreast {
            first: n,
            rows: extents.batch,
            length: extents.classes,
        };
        let mut target = Vector::<u32, N>::new(0u32);
        if comptime!(blueprint.labelled) {
            target = rows.labels::<N>(labels);
        }
        read::<S, F, B, N>(
            student,
            notes,
            &at,
            &rows,
            target,
            comptime!(temperatures - 1),
            0usize,
        );
        if comptime!(blueprint.taught().contains(&true)) {
            read::<S, F, B, N>(
                teacher,
                notes,
                &at,
                &rows,
                target,
                comptime!(temperatures - 1),
                1usize,
            );
        }
        #[unroll]
        for t in 0..temperatures {
            let wanted = comptime!(blueprint.wanted(t));
            exponentials::<F, N>(
                notes,
                &at,
                target,
                extents.classes,
                constants.index(t),
                t,
                comptime!(temperatures - 1),
                wanted,
            );
        }
        #[unroll]
        for t in 0..temperatures {
            if comptime!(blueprint.uses[t].teacher()) {
                compare::<F, N>(notes, &at, 0usize, t);
                divergence::<F, N>(
                    notes,
                    &at,
                    extents.classes,
                    constants.index(t).inverse_t.get::<F>(),
                    t,
                    comptime!(blueprint.terms),
                );
            }
        }
        let place = Place {
            n,
            rows: min(N::value(), extents.batch - n),
            batch: extents.batch,
        };
        settle::<F, N>(
            notes,
            &at,
            loss,
            &place,
            &extents,
            &constants,
            comptime!(blueprint.clone()),
        );
        gradient::<S, F, B, N>(
            &*notes,
            grad,
            &at,
            &rows,
            target,
            comptime!(blueprint.taught()),
        );
        n += N::value();
    }
}

/// Keeps the logits of a network where its exponentials at temperature `t` will be, and notes the target's and the largest of the
/// others, a NaN being none.
#[cube]
fn read<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    notes: &mut [Vector<F, N>],
    at: &Notes,
    rows: &Abreast,
    target: Vector<u32, N>,
    #[comptime] t: usize,
    #[comptime] network: usize,
) {
    let line = if comptime!(network == 0) {
        at.student(0usize, t)
    } else {
        at.teacher(0usize, t)
    };
    let mut max = Vector::<F, N>::new(F::min_value());
    let mut of_target = max;
    for class in 0..rows.length {
        let z = rows.load::<S, F, B, N>(logits, class);
        notes[line + class] = z;
        let is_target = target.equal(&Vector::new(u32::cast_from(class)));
        of_target = select_many(is_target, z, of_target);
        max = select_many(is_target, max, larger::<F, N>(z, max));
    }
    notes[at.fact(0usize, comptime!(STUDENT_TARGET + network))] = of_target;
    notes[at.fact(0usize, comptime!(STUDENT_MAX + network))] = max;
}

/// Keeps `exp((z - max) / T)` of every class and network, 0 for the target, and notes the sums. The logits are where the exponentials
/// of temperature `kept` will be.
#[cube]
fn exponentials<F: Float, N: Size>(
    notes: &mut [Vector<F, N>],
    at: &Notes,
    target: Vector<u32, N>,
    classes: usize,
    constants: &Constants,
    #[comptime] t: usize,
    #[comptime] kept: usize,
    #[comptime] wanted: Wanted,
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let exponential = comptime!(wanted.exponential);
    let (rate, floor) = (
        constants.rate.rate.get::<F>(),
        constants.rate.floor.get::<F>(),
    );
    let student_max = notes[at.fact(0usize, STUDENT_MAX)];
    let mut teacher_max = student_max;
    if comptime!(wanted.teacher) {
        teacher_max = notes[at.fact(0usize, TEACHER_MAX)];
    }
    let mut student_sum = zero;
    let mut teacher_sum = zero;
    let mut distances = zero;
    for class in 0..classes {
        let is_target = target.equal(&Vector::new(u32::cast_from(class)));
        let d = select_many(
            is_target,
            zero,
            notes[at.student(0usize, kept) + class] - student_max,
        );
        let e = select_many(is_target, zero, decay::<F, N>(d, rate, floor, exponential));
        if comptime!(wanted.teacher) {
            let teacher_d = select_many(
                is_target,
                zero,
                notes[at.teacher(0usize, kept) + class] - teacher_max,
            );
            let taught = select_many(
                is_target,
                zero,
                decay::<F, N>(teacher_d, rate, floor, exponential),
            );
            teacher_sum += taught;
            notes[at.teacher(0usize, t) + class] = taught;
            if comptime!(wanted.apart) {
                notes[at.distances(0usize) + class] = d - teacher_d;
            }
        }
        notes[at.student(0usize, t) + class] = e;
        student_sum += e;
        distances += d;
    }
    if comptime!(wanted.distances) {
        let reach = (distances * Vector::new(constants.inverse_t.get::<F>())).abs();
        let near = reach.less_equal(&Vector::new(F::max_value()));
        student_sum = select_many(near, student_sum, Vector::new(nan::<F>()));
        notes[at.finding(0usize, t, DISTANCES)] = distances;
    }
    notes[at.finding(0usize, t, STUDENT_SUM)] = student_sum;
    if comptime!(wanted.teacher) {
        notes[at.finding(0usize, t, TEACHER_SUM)] = teacher_sum;
    }
}

/// Notes how far the softmaxes diverge, and keeps how far they lie apart in the place of the teacher's exponentials.
#[cube]
fn divergence<F: Float, N: Size>(
    notes: &mut [Vector<F, N>],
    at: &Notes,
    classes: usize,
    inverse_t: F,
    #[comptime] t: usize,
    #[comptime] terms: usize,
) {
    let ratio = notes[at.finding(0usize, t, RATIO)];
    let log_ratio = notes[at.finding(0usize, t, LOG_RATIO)];
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for class in 0..classes {
        let q = notes[at.teacher(0usize, t) + class];
        let r = fma(
            notes[at.distances(0usize) + class],
            Vector::new(inverse_t),
            log_ratio,
        );
        let apart = fma(notes[at.student(0usize, t) + class], ratio, -q);
        notes[at.teacher(0usize, t) + class] = apart;
        sum += divergence_apart::<F, N>(q, apart, r, terms);
    }
    notes[at.finding(0usize, t, DIVERGENCE)] = sum;
}

/// Writes the gradient of the rows at hand.
#[cube]
fn gradient<S: Float, F: Float, B: Size, N: Size>(
    notes: &[Vector<F, N>],
    grad: &mut [Vector<S, B>],
    at: &Notes,
    rows: &Abreast,
    target: Vector<u32, N>,
    #[comptime] taught: Vec<bool>,
) {
    let at_target = notes[at.fact(0usize, AT_TARGET)];
    let even = notes[at.fact(0usize, EVEN)];
    for class in 0..rows.length {
        let mut sum = even;
        #[unroll]
        for t in 0..comptime!(taught.len()) {
            let own = notes[at.finding(0usize, t, OWN)];
            sum = fma(notes[at.student(0usize, t) + class], own, sum);
            if comptime!(taught[t]) {
                let apart = notes[at.finding(0usize, t, APART)];
                sum = fma(notes[at.teacher(0usize, t) + class], apart, sum);
            }
        }
        let is_target = target.equal(&Vector::new(u32::cast_from(class)));
        rows.store::<S, F, B, N>(grad, class, select_many(is_target, at_target, sum));
    }
}

/// Launches losses and gradient of short rows.
pub(super) fn launch_short(
    problem: &DistillProblem,
    student: &Tensor,
    teacher: &Tensor,
    labels: Option<&Labels>,
    loss: &Tensor,
    grad: &Tensor,
) {
    let client = student.client();
    let &DistillProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let lanes = Lanes::of(client, dtype, classes, &[student]);
    let width = launch::widest(client, dtype);
    let bundles = batch.div_ceil(width);
    let grid = launch::grid_for(client, bundles, batch * classes);
    let note_takers = grid.units.min(bundles.div_ceil(grid.run));
    let line = classes | 1;
    let notes = notes_len(problem.temperatures().len(), [1, line, line], 1);
    let accumulator = dtype.accumulator();
    let notes = Tensor::empty(client, &[note_takers, notes * width], accumulator);
    let blueprint = Blueprint {
        whole: true,
        ..Blueprint::of(problem, client)
    };
    let constants = constants(problem, blueprint.exponential).collect();
    // SAFETY: the problem relates the extents, every label is a class, and no unit that has a row is without notes.
    unsafe {
        short::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            width,
            lanes.arg(student),
            lanes.arg(teacher),
            labels.map_or_else(|| student.buffer(1, 0), Labels::arg),
            loss.arg(1),
            lanes.arg(grad),
            notes.arg(width),
            lanes.anywhere(student),
            constants,
            ExtentsLaunch::new(batch, classes, 1, grid.run * width, 1, line, line),
            blueprint,
            dtype.elems(),
        );
    }
    launch::pace(client);
}
