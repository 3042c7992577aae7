//! The kernel for GPUs: the losses and the gradient of [`fused`](super::fused) for the same [`Blueprint`], a team a row.
//!
//! **Computes** what the module's note says, from the same formulas (`terms.rs`).
//!
//! **Layout** as there; nothing is noted in memory, and a row is one segment, whatever its length.
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
//! classes is 4 KB a network, one of 131,072 half a megabyte. Keeping short rows in registers would be a second variant to compile and to
//! time. Neighbouring units read neighbouring vectors; every lane is asked whether it is the target's, which costs no branch.
//!
//! **Not finite**: as in the module's note, but a divergence that overflows leaves its row's gradient a number.
//!
//! **Not timed**: see [`crate::team`].

mod passes;

use self::passes::{Softmaxes, TeamRow, extrema, gradient, softmaxes};
use super::finalize::beside;
use super::fused::{Blueprint, logit};
use super::launch::constants;
use super::problem::DistillProblem;
use super::terms::{Constants, Destination, Samples, pull};
use crate::lanes::Lanes;
use crate::team::{Team, Teams};
use crate::{Labels, Tensor, launch};
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
}

/// One team owns a row.
#[cube(launch_unchecked)]
fn by_teams<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    constants: Sequence<Constants>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, Quad>::new(extents.batch, extents.team);
    let temperatures = comptime!(blueprint.uses.len());
    let any_taught = comptime!(blueprint.taught().contains(&true));
    let mut target = 0usize;
    if comptime!(blueprint.labelled) {
        target = usize::cast_from(labels[team.row]);
    }
    let row = TeamRow {
        start: team.row * extents.classes,
        vectors: extents.vectors,
        target,
    };
    let extrema = extrema::<S, F, B, N>(student, teacher, &row, &mut team, any_taught);
    let z = logit::<S, F, B, One>(student, row.start + target);
    let mut v = z;
    if any_taught {
        v = logit::<S, F, B, One>(teacher, row.start + target);
    }
    let mut slopes = Sequence::<Softmaxes<F>>::new();
    let mut at_target = F::new(0.0f32);
    let mut even = F::new(0.0f32);
    let others = F::cast_from(extents.classes - 1);
    // The losses wait for the divergence.
    let nowhere = Destination {
        n: team.row,
        rows: 0usize.runtime(),
        batch: extents.batch,
    };
    #[unroll]
    for t in 0..temperatures {
        let uses = comptime!(blueprint.uses[t]);
        let term = constants.index(t);
        let mut found = softmaxes::<S, F, B, N>(
            student,
            teacher,
            &row,
            &mut team,
            &extrema,
            z,
            v,
            term,
            uses,
            comptime!(blueprint.exponential),
        );
        let terms = comptime!(blueprint.terms);
        let pull = pull::<F, One>(
            loss,
            &nowhere,
            others,
            &found.samples,
            term,
            uses,
            terms,
            comptime!(blueprint.exponential),
        );
        at_target += pull.at_target.extract(0usize);
        even += pull.even.extract(0usize);
        found.own = pull.own.extract(0usize) / found.student_sum;
        if comptime!(uses.teacher()) {
            found.apart = pull.apart.extract(0usize) / found.teacher_sum;
        }
        slopes.push(found);
    }
    let divergences = gradient::<S, F, B, N>(
        student,
        teacher,
        grad,
        &row,
        &mut team,
        &extrema,
        &slopes,
        &constants,
        at_target,
        even,
        comptime!(blueprint.clone()),
    );
    if team.leads() {
        let here = Destination {
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
                comptime!(blueprint.exponential),
            );
        }
    }
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
    let lanes = Lanes::apart(client, dtype, classes, &[student]);
    let teams = Teams::of(client, batch, lanes.vectors());
    let blueprint = Blueprint::of(problem, client);
    let constants = constants(problem, blueprint.exponential).collect();
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
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
