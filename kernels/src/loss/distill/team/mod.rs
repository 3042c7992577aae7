//! The kernel for GPUs: the losses and the gradient of [`fused`](super::fused) for the same [`Blueprint`], a team a row.
//!
//! **Computes** what the module's note says, from the same formulas (`terms.rs`).
//!
//! **Layout** as there; nothing is noted in memory, and a row is one segment, whatever its length.
//!
//! **One team owns** a row ([`Team`]), and walks it three times. First it finds the largest and the least non-target logit of all
//! networks; a distance between them that is infinite, over the temperature, makes the sums NaN. Then, for each pair of softmaxes, it sums
//! the exponentials of both networks and, for the cross-entropy, the distances to the maximum. All units then make the row's
//! slopes of these, each for itself, which is cheaper than a barrier. The last walk takes the exponentials again, sums the
//! divergence and writes the gradient; the first unit writes the losses. Cosines walk the row again, and add to what the same units wrote.
//!
//! **Why this shape.** A GPU has exponentials to spare and waits for memory: the kernel for CPUs keeps its exponentials, one a
//! class, network and temperature, where this one takes them twice and keeps nothing. The gradient needs no divergence, so one
//! walk does both. Logits come from memory once, and again from a cache as long as the teams' rows fit in one: a row of 1,000
//! classes is 4 KB a network, one of 131,072 half a megabyte. Keeping short rows in registers would be a second variant to compile and to
//! time. Neighbouring units read neighbouring vectors; every lane is asked whether it is the target's, which costs no branch.
//!
//! **Not finite**: as in the module's note, but a divergence that overflows leaves its row's gradient a number.
//!
//! **Not timed**: see [`crate::team`].

mod passes;

use self::passes::{Ends, Softmaxes, TeamRow, extrema, gradient, softmaxes};
use super::blueprint::Blueprint;
use super::finalize::beside;
use super::fused::logit;
use super::launch::{Operands, constants, scalars};
use super::problem::DistillProblem;
use super::terms::{Constants, Destination, Factors, Samples, factor, pull};
use crate::lanes::Lanes;
use crate::launch;
use crate::loss::cosine::{angle::Scalars, row_transform, team::turn_by_team};
use crate::team::{Team, Teams};
use cubecl::prelude::*;

/// Numbers of a row.
type One = Const<1>;
/// Numbers that are reduced at a time.
type Quad = Const<4>;

/// The extents of a launch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    batch: usize,
    classes: usize,
    /// Vectors of a row.
    vectors: usize,
    /// Units of a team.
    team: usize,
    /// From one sample's factors to the next's.
    factors: usize,
}

/// One team owns a row. `logits` are all networks', the student's first.
#[cube(launch_unchecked)]
fn by_teams<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    labels: &[u32],
    mixed: &[u32],
    factors: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    constants: Sequence<Constants>,
    scalars: Sequence<Scalars>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, Quad>::new(extents.batch, extents.team);
    let pairs = comptime!(blueprint.uses.len());
    let mut target = 0usize;
    if comptime!(blueprint.labelled) {
        target = usize::cast_from(labels[team.row]);
    }
    let mut second = target;
    if comptime!(blueprint.mixed) {
        second = usize::cast_from(mixed[team.row]);
    }
    let row = TeamRow {
        start: team.row * extents.classes,
        vectors: extents.vectors,
        target,
        second,
    };
    let networks = comptime!(blueprint.networks());
    let extrema = extrema::<S, F, B, N>(logits, &row, &mut team, comptime!(networks.clone()));
    let mut slopes = Sequence::<Softmaxes<F>>::new();
    let mut at_target = F::new(0.0f32);
    let mut at_second = F::new(0.0f32);
    let mut even = F::new(0.0f32);
    let others = F::cast_from(extents.classes - 1);
    // The losses wait for the divergence.
    let nowhere = Destination {
        n: team.row,
        rows: 0usize.runtime(),
        batch: extents.batch,
    };
    let here = Destination {
        n: team.row,
        rows: 1usize.runtime(),
        batch: extents.batch,
    };
    let factored = comptime!(blueprint.factored);
    #[unroll]
    for t in 0..pairs {
        let uses = comptime!(blueprint.uses[t]);
        let term = constants.index(t);
        let network = comptime!(uses.network());
        let place = comptime!(networks.iter().position(|&n| n == network).unwrap_or(0));
        let teacher = logits.index(comptime!(network.0));
        let ends = Ends::<F> {
            student_max: extrema.index(0usize).max,
            student_range: extrema.index(0usize).range,
            z: logit::<S, F, B, One>(logits.index(0usize), row.start + target),
            teacher_max: extrema.index(place).max,
            teacher_range: extrema.index(place).range,
            v: logit::<S, F, B, One>(teacher, row.start + target),
        };
        let mut found = softmaxes::<S, F, B, N>(
            logits.index(0usize),
            teacher,
            &row,
            &mut team,
            &ends,
            term,
            uses,
            comptime!(blueprint.mixed),
            comptime!(blueprint.exponential),
        );
        let by = Factors::<F, One>::new(factors, extents.factors, &here, uses, factored);
        let pull = pull::<F, One>(
            loss,
            &nowhere,
            others,
            &found.samples,
            &by,
            term,
            uses,
            comptime!(blueprint.mixed),
            comptime!(blueprint.terms),
            comptime!(blueprint.exponential),
        );
        at_target += pull.at_target.extract(0usize);
        at_second += pull.at_second.extract(0usize);
        even += pull.even.extract(0usize);
        found.own = pull.own.extract(0usize) / found.student_sum;
        if comptime!(uses.teacher.is_some()) {
            found.apart = pull.apart.extract(0usize) / found.teacher_sum;
        }
        slopes.push(found);
    }
    let divergences = gradient::<S, F, B, N>(
        logits,
        grad,
        &row,
        &mut team,
        &extrema,
        &slopes,
        &constants,
        at_target,
        at_second,
        even,
        comptime!(blueprint.clone()),
    );
    if team.leads() {
        #[unroll]
        for t in 0..pairs {
            let uses = comptime!(blueprint.uses[t]);
            let slope = slopes.index(t);
            let mut divergence = Vector::new(F::new(0.0f32));
            if comptime!(uses.teacher.is_some()) {
                let found = Vector::new(*divergences.index(t));
                let sum = beside::<F, One>(Vector::new(slope.teacher_sum), found);
                divergence = found / sum;
            }
            let samples = Samples::<F, One> {
                student_odds: slope.samples.student_odds,
                teacher_odds: slope.samples.teacher_odds,
                log_sum: slope.samples.log_sum,
                distances: slope.samples.distances,
                divergence,
                second: slope.samples.second,
                share: slope.samples.share,
            };
            let by = Factors::<F, One>::new(factors, extents.factors, &here, uses, factored);
            pull::<F, One>(
                loss,
                &here,
                others,
                &samples,
                &by,
                constants.index(t),
                uses,
                comptime!(blueprint.mixed),
                comptime!(blueprint.terms),
                comptime!(blueprint.exponential),
            );
        }
    }
    let sample = row_transform::TeamRow {
        start: row.start,
        vectors: extents.vectors,
        length: extents.classes,
    };
    #[unroll]
    for c in 0..comptime!(blueprint.cosines.len()) {
        let cosine = comptime!(blueprint.cosines[c]);
        let place = comptime!(cosine.factor(&blueprint));
        let by = factor::<F, One>(factors, extents.factors, &here, place);
        let scalars = scalars.index(c);
        let found = turn_by_team::<S, F, B, N>(
            logits.index(0usize),
            logits.index(comptime!(cosine.network().0)),
            grad,
            scalars,
            scalars.weight.get::<F>() * by.extract(0usize),
            &sample,
            &mut team,
            comptime!(cosine.between),
            true,
        );
        if team.leads() {
            loss[comptime!(cosine.row) * extents.batch + team.row] = found;
        }
    }
}

/// Launches losses and gradient on a device that is no CPU.
pub(super) fn launch_by_teams(problem: &DistillProblem, operands: &Operands) {
    let client = operands.student.client();
    let &DistillProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let lanes = Lanes::apart(client, dtype, classes, &[operands.student]);
    let teams = Teams::of_batch(client, batch, lanes.vectors());
    let blueprint = Blueprint::of(problem, client);
    let constants = constants(problem, blueprint.exponential).collect();
    let stride = problem.factor_stride();
    // SAFETY: the problem relates the extents, every label is a class, and teams past the last row write nothing.
    unsafe {
        by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            operands.logits(&lanes).collect(),
            operands.labels(),
            operands.mixed(),
            operands.factors(),
            operands.loss.arg(1),
            lanes.arg(operands.grad),
            constants,
            scalars(problem),
            ExtentsLaunch::new(batch, classes, lanes.vectors(), teams.size, stride),
            blueprint,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
