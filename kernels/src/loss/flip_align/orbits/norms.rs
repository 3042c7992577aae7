//! The reciprocals of the norms of both maps' positions: a team of units a position.

use super::super::maps::{Views, inverse_norm};
use super::Maps;
use super::sums::Partials;
use crate::lanes::load;
use crate::team::{Team, Teams, pair};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Of each sample the norms of the student's positions, then of the teacher's.
#[cube(launch_unchecked)]
fn position_norms<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: Views,
    norms: &mut [F],
    positions: usize,
    pixels: usize,
    vectors: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, Const<2>>::new(positions, team);
    let mut of_student = Vector::<F, N>::new(F::new(0.0f32));
    let mut of_teacher = Vector::<F, N>::new(F::new(0.0f32));
    let mut v = team.unit;
    while v < vectors {
        let c = v * N::value();
        let a = load::<S, F, B, N>(student, views.student.at(team.row) + c);
        let t = load::<S, F, B, N>(teacher, views.teacher.at(team.row) + c);
        of_student = fma(a, a, of_student);
        of_teacher = fma(t, t, of_teacher);
        v += team.size;
    }
    let squares = team.sum(pair::<F>(of_student.vector_sum(), of_teacher.vector_sum()));
    if team.leads() {
        let (n, pixel) = (team.row / pixels, team.row % pixels);
        norms[2 * n * pixels + pixel] = inverse_norm::<F>(squares.extract(0usize));
        norms[(2 * n + 1) * pixels + pixel] = inverse_norm::<F>(squares.extract(1usize));
    }
}

/// Launches them.
pub(super) fn launch_position_norms(maps: &Maps) -> Result<Partials, KernelError> {
    let (client, problem, lanes) = (maps.client(), maps.problem, &maps.lanes);
    let positions = problem.batch * problem.positions();
    let accumulator = problem.dtype.accumulator();
    let norms = Tensor::room(super::OP, "scratch", client, &[2 * positions], accumulator)?;
    let teams = Teams::of(client, positions, lanes.vectors());
    // SAFETY: teams past the last position read the last one, and write nothing.
    unsafe {
        position_norms::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(maps.student),
            lanes.arg(maps.teacher),
            maps.views(),
            norms.arg(1),
            positions,
            problem.positions(),
            lanes.vectors(),
            teams.size,
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(Partials {
        sums: norms,
        slices: 0,
    })
}
