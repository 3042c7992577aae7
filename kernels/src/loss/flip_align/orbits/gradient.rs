//! The gradient: a team of units an orbit, whose positions' channels it walks, twice where the gradient's part along a position's
//! channels is taken out.

use super::super::maps::{Blueprint, Extent, Rule, Views, inverse};
use super::super::{FlipAlignment, Normalisation};
use super::orbit::{Map, Orbit, pixel, start, vector};
use super::sums::Partials;
use super::{Maps, notes};
use crate::lanes::store;
use crate::team::{Team, Teams};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `sum of slopes x`, of the vectors that the transforms of the targets, or their inverses, read for the position of member `h`.
#[cube]
fn target<F: Float, N: Size>(
    held: &Array<Vector<F, N>>,
    slopes: &Array<F>,
    #[comptime] orbit: Orbit,
    #[comptime] h: usize,
    #[comptime] inverted: bool,
) -> Vector<F, N> {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    #[unroll]
    for g in 0..comptime!(orbit.len()) {
        let member = comptime!(if inverted {
            orbit.read_by_inverse(h, g)
        } else {
            orbit.read(h, g)
        });
        sum = fma(held[member], Vector::new(slopes[g]), sum);
    }
    sum
}

/// One team owns an orbit. `L` is the number of its positions' sums that are reduced at a time.
#[cube(launch_unchecked)]
fn gradient<S: Float, F: Float, B: Size, N: Size, L: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: Views,
    norms: &[F],
    noted: &[F],
    chosen: &[u32],
    grad: &mut [Vector<F, B>],
    extent: Extent,
    factor: InputScalar,
    rows: usize,
    orbits: usize,
    team: usize,
    #[comptime] blueprint: Blueprint,
    #[comptime] orbit: Orbit,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let normalisation = comptime!(blueprint.normalisation);
    let members = comptime!(orbit.len());
    let factor = factor.get::<F>();
    let mut team = Team::<F, L>::new(rows, team);
    let n = team.row / orbits;
    let start = start(team.row % orbits, &extent, orbit);
    let pixels = extent.height * extent.width;
    let at = n * comptime!(notes::len(&blueprint));
    let mut of_student = Map::<F> {
        first: n * pixels,
        code: 0u32.runtime(),
        scale: F::new(1.0f32),
        norms: 2 * n * pixels,
    };
    let mut of_teacher = Map::<F> {
        first: n * pixels,
        code: 0u32.runtime(),
        scale: F::new(1.0f32),
        norms: (2 * n + 1) * pixels,
    };
    if comptime!(orbit.is_single()) {
        of_teacher.code = inverse(chosen[n]);
    }
    let mut inner = F::new(0.0f32);
    if comptime!(normalisation == Normalisation::Sample) {
        of_student.scale = noted[at + notes::STUDENT_SCALE];
        of_teacher.scale = noted[at + notes::TEACHER_SCALE];
        inner = noted[at + notes::INNER];
    }
    let mut slopes = Array::<F>::new(members);
    let mut own = Array::<F>::new(members);
    #[unroll]
    for g in 0..members {
        slopes[g] = noted[at + comptime!(notes::SLOPES + g)];
        if comptime!(blueprint.rule == Rule::Mixed) {
            own[g] = noted[at + comptime!(notes::SLOPES + members + g)];
        }
    }
    // `<a^, e>` of each member's position.
    let mut along = Array::<F>::new(members);
    #[unroll]
    for h in 0..members {
        along[h] = inner;
    }
    if comptime!(normalisation == Normalisation::Position) {
        let mut sums = Array::<Vector<F, N>>::new(members);
        #[unroll]
        for h in 0..members {
            sums[h] = Vector::new(F::new(0.0f32));
        }
        let mut v = team.unit;
        while v < extent.vectors {
            let c = v * N::value();
            let mut held = Array::<Vector<F, N>>::new(members);
            #[unroll]
            for h in 0..members {
                held[h] = vector::<S, F, B, N>(
                    teacher,
                    &views.teacher,
                    &of_teacher,
                    norms,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
            }
            #[unroll]
            for h in 0..members {
                let a = vector::<S, F, B, N>(
                    student,
                    &views.student,
                    &of_student,
                    norms,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
                let rest = a - target::<F, N>(&held, &slopes, orbit, h, true);
                sums[h] = fma(a, rest, sums[h]);
            }
            v += team.size;
        }
        let together = L::value().comptime();
        #[unroll]
        for first in 0..comptime!(members / together) {
            let mut some = Vector::<F, L>::empty();
            #[unroll]
            for lane in 0..together {
                some.insert(lane, sums[comptime!(first * together + lane)].vector_sum());
            }
            let total = team.sum(some);
            #[unroll]
            for lane in 0..together {
                along[comptime!(first * together + lane)] = factor * total.extract(lane);
            }
        }
    }
    if team.there {
        let mut v = team.unit;
        while v < extent.vectors {
            let c = v * N::value();
            let mut held = Array::<Vector<F, N>>::new(members);
            let mut own_held = Array::<Vector<F, N>>::new(members);
            #[unroll]
            for h in 0..members {
                held[h] = vector::<S, F, B, N>(
                    teacher,
                    &views.teacher,
                    &of_teacher,
                    norms,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
                if comptime!(blueprint.rule == Rule::Mixed) {
                    own_held[h] = vector::<S, F, B, N>(
                        student,
                        &views.student,
                        &of_student,
                        norms,
                        &start,
                        c,
                        &extent,
                        normalisation,
                        orbit,
                        h,
                    );
                }
            }
            #[unroll]
            for h in 0..members {
                let here = pixel(&start, of_student.code, &extent, orbit, h);
                let a = if comptime!(blueprint.rule == Rule::Mixed) {
                    target::<F, N>(&own_held, &own, orbit, h, false)
                } else {
                    vector::<S, F, B, N>(
                        student,
                        &views.student,
                        &of_student,
                        norms,
                        &start,
                        c,
                        &extent,
                        normalisation,
                        orbit,
                        h,
                    )
                };
                let rest = a - target::<F, N>(&held, &slopes, orbit, h, true);
                let mut scale = of_student.scale;
                if comptime!(normalisation == Normalisation::Position) {
                    scale = norms[of_student.norms + here];
                }
                let mut value = rest * Vector::new(factor * scale);
                if comptime!(normalisation != Normalisation::None) {
                    value -= a * Vector::new(along[h] * scale);
                }
                let to = (of_student.first + here) * extent.channels + c;
                store::<F, F, B, N>(grad, to, value);
            }
            v += team.size;
        }
    }
}

/// Launches the gradient.
pub(super) fn launch_gradient(maps: &Maps, norms: &Partials, noted: &Tensor, out: &FlipAlignment) {
    let (client, problem, lanes) = (maps.client(), maps.problem, &maps.lanes);
    let orbit = Orbit::of_targets(&maps.blueprint);
    let orbits = orbit.count(problem.height, problem.width);
    let rows = problem.batch * orbits;
    // A vector of many positions is work enough for a unit.
    let of_unit = if orbit.is_single() { 2 } else { 1 };
    let teams = Teams::of_units_with(client, rows, lanes.vectors(), of_unit);
    let factor = 2.0 / (problem.batch as f64 * problem.divisor() as f64);
    // SAFETY: every transform moves positions within a map, and teams past the last orbit write nothing.
    unsafe {
        gradient::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            orbit.len().min(4),
            lanes.arg(maps.student),
            lanes.arg(maps.teacher),
            maps.views(),
            norms.sums.arg(1),
            noted.arg(1),
            out.chosen.arg(),
            lanes.arg(&out.grad),
            maps.extent(),
            problem.dtype.scalar(factor),
            rows,
            orbits,
            teams.size,
            maps.blueprint,
            orbit,
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
}
