//! The kernel for GPUs: the losses and the gradient of [`fused`](super::fused) for the same [`Blueprint`], a team a row.
//!
//! **Computes** what the module's note says, from the same formulas (`terms.rs`).
//!
//! **Layout** as there; nothing is noted in memory, and a row is one piece, whatever its length.
//!
//! **One team owns** a row ([`Team`]), and walks it three times. First it finds the largest and the least non-target logit of both
//! networks; a distance between them that is infinite, over the temperature, makes the sums NaN. Then, for each temperature, it sums
//! the exponentials of both networks and, for the cross-entropy, the distances to the maximum. All units then make the row's
//! slopes of these, each for itself, which is cheaper than a barrier. The last walk takes the exponentials again, sums the
//! divergence and writes the gradient; the first unit writes the losses.
//!
//! **Why this shape.** A GPU has exponentials to spare and waits for memory: the kernel for CPUs keeps its exponentials, one a
//! class, network and temperature, where this one takes them twice and keeps nothing. The gradient needs no divergence, so one
//! walk does both. Logits come from memory once, and again from a cache as long as the teams' rows fit in one: a row of 1,000
//! classes is 4 KB a network, one of 131,072 half a megabyte. Rows of one team's registers were not written, for a second variant to
//! compile. Neighbouring units read neighbouring vectors; the walks ask every lane whether it is the target's, as a branch would cost
//! more.
//!
//! **Not finite**: as in the module's note, but a divergence that overflows leaves its row's gradient a number.
//!
//! **Not timed**: see [`crate::team`].

use super::fused::{Blueprint, logit};
use super::launch::constants;
use super::problem::{DistillProblem, Uses};
use super::settle::beside;
use super::terms::{Constants, Place, Samples, pull};
use super::{decay::Exponential, decay::decay};
use crate::lanes::{Lanes, load, store};
use crate::loss::fold::{larger, top};
use crate::loss::log_space::{divergence_apart, series_terms};
use crate::loss::row::is_class;
use crate::team::{Team, Teams, quad};
use crate::{Labels, Tensor, launch};
use cubecl::prelude::*;

/// Numbers of a row.
type One = Const<1>;
/// Numbers that are reduced at a time.
type Quad = Const<4>;

/// The extents of a launch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Extents {
    pub batch: usize,
    pub classes: usize,
    /// Vectors of a row.
    pub vectors: usize,
    /// Units of a team.
    pub team: usize,
}

/// A row, as its team walks it.
#[derive(CubeType, Clone, Copy)]
struct Row {
    /// The element at which it starts.
    start: usize,
    vectors: usize,
    target: usize,
}

#[cube]
impl Row {
    /// `value` but in the target's lane of vector `v`, which holds `other`.
    fn counted<F: Float, N: Size>(
        &self,
        v: usize,
        value: Vector<F, N>,
        other: Vector<F, N>,
    ) -> Vector<F, N> {
        select_many(is_class::<N>(v * N::value(), self.target), other, value)
    }
}

/// What both networks' logits are taken from.
#[derive(CubeType, Clone, Copy)]
struct Ends<F: Float> {
    student_max: F,
    teacher_max: F,
    /// How far the largest non-target logit lies above the least.
    student_range: F,
    teacher_range: F,
}

/// A row at one temperature.
#[derive(CubeType, Clone, Copy)]
struct Softmaxes<F: Float> {
    samples: Samples<F, One>,
    student_sum: F,
    teacher_sum: F,
    /// The teacher's sum over the student's, and its logarithm.
    ratio: F,
    log_ratio: F,
    /// The gradient's factors of the student's exponentials, and of how far they lie above the teacher's at the teacher's sum.
    own: F,
    apart: F,
}

/// One team owns a row.
#[cube(launch_unchecked)]
fn by_teams<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    constants: Sequence<Constants>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let mut team = Team::<F, Quad>::new(extents.batch, extents.team);
    let temperatures = comptime!(blueprint.uses.len());
    let any_taught = comptime!(blueprint.taught().contains(&true));
    let mut target = 0usize;
    if comptime!(blueprint.labelled) {
        target = usize::cast_from(labels[team.row]);
    }
    let row = Row {
        start: team.row * extents.classes,
        vectors: extents.vectors,
        target,
    };
    let ends = ends::<F, B, N>(student, teacher, &row, &mut team, any_taught);
    let z = logit::<F, B, One>(student, row.start + target);
    let mut v = z;
    if any_taught {
        v = logit::<F, B, One>(teacher, row.start + target);
    }
    let mut slopes = Sequence::<Softmaxes<F>>::new();
    let mut at_target = F::new(0.0f32);
    let mut even = F::new(0.0f32);
    let others = F::cast_from(extents.classes - 1);
    // The losses wait for the divergence.
    let nowhere = Place {
        n: team.row,
        rows: 0usize.runtime(),
        batch: extents.batch,
    };
    #[unroll]
    for t in 0..temperatures {
        let uses = comptime!(blueprint.uses[t]);
        let of = constants.index(t);
        let mut found = softmaxes::<F, B, N>(
            student,
            teacher,
            &row,
            &mut team,
            &ends,
            z,
            v,
            of,
            uses,
            comptime!(blueprint.exponential),
        );
        let terms = comptime!(blueprint.terms);
        let pull = pull::<F, One>(loss, &nowhere, others, &found.samples, of, uses, terms);
        at_target += pull.at_target.extract(0usize);
        even += pull.even.extract(0usize);
        found.own = pull.own.extract(0usize) / found.student_sum;
        if comptime!(uses.teacher()) {
            found.apart = pull.apart.extract(0usize) / found.teacher_sum;
        }
        slopes.push(found);
    }
    let divergences = gradient::<F, B, N>(
        student,
        teacher,
        grad,
        &row,
        &mut team,
        &ends,
        &slopes,
        &constants,
        at_target,
        even,
        comptime!(blueprint.clone()),
    );
    if team.leads() {
        let here = Place {
            n: team.row,
            rows: 1usize.runtime(),
            batch: extents.batch,
        };
        #[unroll]
        for t in 0..temperatures {
            let uses = comptime!(blueprint.uses[t]);
            let slope = slopes.index(t);
            let mut divergence = Vector::new(F::new(0.0f32));
            if comptime!(uses.teacher()) {
                let found = Vector::new(divergences.extract(t));
                let sum = beside::<F, One>(Vector::new(slope.teacher_sum), found);
                divergence = found / sum;
            }
            let samples = Samples::<F, One> {
                student_odds: slope.samples.student_odds,
                teacher_odds: slope.samples.teacher_odds,
                log_sum: slope.samples.log_sum,
                distances: slope.samples.distances,
                divergence,
            };
            let terms = comptime!(blueprint.terms);
            pull::<F, One>(
                loss,
                &here,
                others,
                &samples,
                constants.index(t),
                uses,
                terms,
            );
        }
    }
}

/// The first walk.
#[cube]
fn ends<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    row: &Row,
    team: &mut Team<F, Quad>,
    #[comptime] taught: bool,
) -> Ends<F> {
    let none = Vector::<F, N>::new(F::min_value());
    let mut student_high = none;
    let mut student_low = none;
    let mut teacher_high = none;
    let mut teacher_low = none;
    let mut v = team.unit;
    while v < row.vectors {
        let at = row.start + v * N::value();
        let z = load::<F, B, N>(student, at);
        student_high = larger::<F, N>(row.counted::<F, N>(v, z, none), student_high);
        student_low = larger::<F, N>(row.counted::<F, N>(v, -z, none), student_low);
        if taught {
            let z = load::<F, B, N>(teacher, at);
            teacher_high = larger::<F, N>(row.counted::<F, N>(v, z, none), teacher_high);
            teacher_low = larger::<F, N>(row.counted::<F, N>(v, -z, none), teacher_low);
        }
        v += team.size;
    }
    let all = team.max(quad::<F>(
        top::<F, N>(student_high).extract(0usize),
        top::<F, N>(student_low).extract(0usize),
        top::<F, N>(teacher_high).extract(0usize),
        top::<F, N>(teacher_low).extract(0usize),
    ));
    Ends::<F> {
        student_max: all.extract(0usize),
        teacher_max: all.extract(2usize),
        student_range: all.extract(0usize) + all.extract(1usize),
        teacher_range: all.extract(2usize) + all.extract(3usize),
    }
}

/// The second walk, at one temperature, and what its sums say about the target, whose logits are `z` and `v`.
#[cube]
fn softmaxes<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    row: &Row,
    team: &mut Team<F, Quad>,
    ends: &Ends<F>,
    z: Vector<F, One>,
    v: Vector<F, One>,
    constants: &Constants,
    #[comptime] uses: Uses,
    #[comptime] exponential: Exponential,
) -> Softmaxes<F> {
    let none = Vector::<F, N>::new(F::new(0.0f32));
    let rate = constants.rate.rate.get::<F>();
    let floor = constants.rate.floor.get::<F>();
    let (student_max, teacher_max) = (ends.student_max, ends.teacher_max);
    let mut own = none;
    let mut taught = none;
    let mut distances = none;
    let mut i = team.unit;
    while i < row.vectors {
        let at = row.start + i * N::value();
        let d = load::<F, B, N>(student, at) - Vector::new(student_max);
        let e = decay::<F, N>(d, rate, floor, exponential);
        own += row.counted::<F, N>(i, e, none);
        if comptime!(uses.cross_entropy.is_some()) {
            distances += row.counted::<F, N>(i, d, none);
        }
        if comptime!(uses.teacher()) {
            let d = load::<F, B, N>(teacher, at) - Vector::new(teacher_max);
            let e = decay::<F, N>(d, rate, floor, exponential);
            taught += row.counted::<F, N>(i, e, none);
        }
        i += team.size;
    }
    let zero = F::new(0.0f32);
    let sums = team.sum(quad::<F>(
        own.vector_sum(),
        taught.vector_sum(),
        distances.vector_sum(),
        zero,
    ));
    let inverse_t = Vector::<F, One>::new(constants.inverse_t.get::<F>());
    let distances = Vector::<F, One>::new(sums.extract(2usize));
    let distance = (z - Vector::new(student_max)) * inverse_t;
    let range = Vector::new(ends.student_range) * inverse_t;
    let mut student_sum = Vector::<F, One>::new(sums.extract(0usize));
    student_sum = beside::<F, One>(student_sum, distance);
    student_sum = beside::<F, One>(student_sum, range);
    student_sum = beside::<F, One>(student_sum, distances * inverse_t);
    let log_sum = student_sum.ln();
    let student_odds = distance - log_sum;
    let mut teacher_sum = Vector::<F, One>::new(F::new(1.0f32));
    let mut teacher_odds = student_odds;
    if comptime!(uses.teacher()) {
        let distance = (v - Vector::new(teacher_max)) * inverse_t;
        let range = Vector::new(ends.teacher_range) * inverse_t;
        teacher_sum = Vector::new(sums.extract(1usize));
        teacher_sum = beside::<F, One>(teacher_sum, distance);
        teacher_sum = beside::<F, One>(teacher_sum, range);
        teacher_odds = distance - teacher_sum.ln();
    }
    let ratio = teacher_sum / student_sum;
    Softmaxes::<F> {
        samples: Samples::<F, One> {
            student_odds,
            teacher_odds,
            log_sum,
            distances,
            divergence: Vector::new(zero),
        },
        student_sum: student_sum.extract(0usize),
        teacher_sum: teacher_sum.extract(0usize),
        ratio: ratio.extract(0usize),
        log_ratio: ratio.ln().extract(0usize),
        own: zero,
        apart: zero,
    }
}

/// The third walk: writes the gradient and returns the divergence of each temperature's softmaxes, times the teacher's sum.
#[cube]
fn gradient<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    grad: &mut [Vector<F, B>],
    row: &Row,
    team: &mut Team<F, Quad>,
    ends: &Ends<F>,
    slopes: &Sequence<Softmaxes<F>>,
    constants: &Sequence<Constants>,
    at_target: F,
    even: F,
    #[comptime] blueprint: Blueprint,
) -> Vector<F, Quad> {
    let none = Vector::<F, N>::new(F::new(0.0f32));
    let exponential = comptime!(blueprint.exponential);
    let any_taught = comptime!(blueprint.taught().contains(&true));
    let mut divergences = Vector::<F, Quad>::new(F::new(0.0f32));
    let mut v = team.unit;
    while v < row.vectors {
        let at = row.start + v * N::value();
        let d = load::<F, B, N>(student, at) - Vector::new(ends.student_max);
        let mut teacher_d = d;
        if any_taught {
            teacher_d = load::<F, B, N>(teacher, at) - Vector::new(ends.teacher_max);
        }
        let mut g = Vector::<F, N>::new(even);
        #[unroll]
        for t in 0..comptime!(blueprint.uses.len()) {
            let slope = slopes.index(t);
            let of = constants.index(t);
            let rate = of.rate.rate.get::<F>();
            let floor = of.rate.floor.get::<F>();
            let e = decay::<F, N>(d, rate, floor, exponential);
            g = fma(e, Vector::new(slope.own), g);
            if comptime!(blueprint.uses[t].teacher()) {
                let q = decay::<F, N>(teacher_d, rate, floor, exponential);
                // The maxima went first: the logits may share an offset that would round the difference of the networks.
                let r = fma(
                    d - teacher_d,
                    Vector::new(of.inverse_t.get::<F>()),
                    Vector::new(slope.log_ratio),
                );
                let apart = fma(e, Vector::new(slope.ratio), -q);
                g = fma(apart, Vector::new(slope.apart), g);
                let found = divergence_apart::<F, N>(q, apart, r, comptime!(blueprint.terms));
                let found = row.counted::<F, N>(v, found, none).vector_sum();
                divergences.insert(t, divergences.extract(t) + found);
            }
        }
        if team.there {
            store::<F, B, N>(grad, at, row.counted::<F, N>(v, g, Vector::new(at_target)));
        }
        v += team.size;
    }
    let mut all = divergences;
    if any_taught {
        all = team.sum(divergences);
    }
    all
}

/// Launches losses and gradient on a device that is no CPU.
pub(super) fn launch_by_teams(
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
    let temperatures = problem.temperatures();
    let lanes = Lanes::apart(client, dtype, classes, &[student]);
    let teams = Teams::of(client, batch, lanes.vectors());
    let blueprint = Blueprint {
        uses: temperatures.iter().map(|&(_, uses)| uses).collect(),
        labelled: labels.is_some(),
        exponential: Exponential::of(client, dtype),
        terms: series_terms(dtype),
    };
    let constants = temperatures
        .iter()
        .map(|&(temperature, _)| constants(problem, blueprint.exponential, temperature))
        .collect();
    // SAFETY: the problem relates the extents, every label is a class, and teams past the last row write nothing.
    unsafe {
        by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(teacher),
            labels.map_or_else(|| student.buffer(1, 0), Labels::arg),
            loss.arg(1),
            lanes.arg(grad),
            constants,
            ExtentsLaunch::new(batch, classes, lanes.vectors(), teams.size),
            blueprint,
            dtype.elem(),
        );
    }
    launch::pace(client);
}
