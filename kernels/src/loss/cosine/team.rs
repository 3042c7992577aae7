//! The cosine loss and its gradient on GPUs: a team a sample ([`crate::team`]).
//!
//! **One team owns** a sample. It finds what turns rows into the vectors to compare (`row_transform.rs`: one walk for softmaxes, two for centred
//! rows), then walks for the norms, for the distance, and for the gradient.
//!
//! **Why this shape.** Every walk sees the logits through the row transform again, an exponential or two subtractions, where the CPU's kernel
//! keeps the vectors: two rows of scratch a unit would be as much memory as student and teacher, written and read.

use super::CosineProblem;
use super::angle::{Norms, One, Scalars, along_sample};
use super::fused::Blueprint;
use super::row_transform::{Quad, TeamRow, row_transforms};
use crate::lanes::{Lanes, load, store};
use crate::loss::LossAndGrad;
use crate::loss::row::where_finite;
use crate::team::{Team, Teams, quad};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// One team owns a sample.
#[cube(launch_unchecked)]
fn by_teams<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scalars: Scalars,
    batch: usize,
    length: usize,
    vectors: usize,
    team: usize,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, Quad>::new(batch, team);
    let row = TeamRow {
        start: team.row * length,
        vectors,
        length,
    };
    let weight = scalars.weight.get::<F>();
    let found = turn_by_team::<S, F, B, N>(
        student, teacher, grad, &scalars, weight, &row, &mut team, blueprint, false,
    );
    if team.leads() {
        loss[team.row] = found;
    }
}

/// Writes a sample's gradient, or adds it to what the same units wrote, and returns its loss.
#[cube]
pub(in crate::loss) fn turn_by_team<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &mut [Vector<F, B>],
    scalars: &Scalars,
    weight: F,
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    #[comptime] blueprint: Blueprint,
    #[comptime] added: bool,
) -> F {
    let zero = F::new(0.0f32);
    let zeros = Vector::<F, N>::new(zero);
    let inverse_t = scalars.inverse_t.get::<F>();
    let row_transforms =
        row_transforms::<S, F, B, N>(student, teacher, row, team, inverse_t, blueprint);
    let mut u_square = zeros;
    let mut w_square = zeros;
    let mut v = team.unit;
    while v < row.vectors {
        let mut u_part = zeros;
        let mut w_part = zeros;
        let end = team.block(v, row.vectors);
        while v < end {
            let offset = row.start + v * N::value();
            let u = load::<S, F, B, N>(student, offset);
            let w = load::<S, F, B, N>(teacher, offset);
            let u = row_transforms.student.apply::<N>(u, inverse_t, blueprint);
            let w = row_transforms.teacher.apply::<N>(w, inverse_t, blueprint);
            u_part = fma(u, u, u_part);
            w_part = fma(w, w, w_part);
            v += team.size;
        }
        u_square += u_part;
        w_square += w_part;
    }
    let (u_square, w_square) = (u_square.vector_sum(), w_square.vector_sum());
    let squares = team.sum(quad::<F>(u_square, w_square, zero, zero));
    let (u_square, w_square) = (squares.extract(0usize), squares.extract(1usize));
    let norms = Norms::<F, One>::new(
        Vector::new(where_finite::<F>(u_square, u_square)),
        Vector::new(where_finite::<F>(w_square, w_square)),
        scalars.epsilon.get::<F>(),
    );
    let ratio = Vector::<F, N>::new(norms.ratio.extract(0usize));
    let mut apart = zeros;
    let mut v = team.unit;
    while v < row.vectors {
        let mut part = zeros;
        let end = team.block(v, row.vectors);
        while v < end {
            let offset = row.start + v * N::value();
            let u = load::<S, F, B, N>(student, offset);
            let w = load::<S, F, B, N>(teacher, offset);
            let u = row_transforms.student.apply::<N>(u, inverse_t, blueprint);
            let w = row_transforms.teacher.apply::<N>(w, inverse_t, blueprint);
            let d = u - w * ratio;
            part = fma(d, d, part);
            v += team.size;
        }
        apart += part;
    }
    let apart = team.sum(quad::<F>(apart.vector_sum(), zero, zero, zero));
    let apart = where_finite::<F>(apart.extract(0usize), apart.extract(0usize));
    let turned = norms.turned(Vector::new(apart), Vector::new(weight));
    let turned = along_sample::<F, N>(&turned);
    if team.there {
        let mut v = team.unit;
        while v < row.vectors {
            let offset = row.start + v * N::value();
            let u = load::<S, F, B, N>(student, offset);
            let w = load::<S, F, B, N>(teacher, offset);
            let u = row_transforms.student.apply::<N>(u, inverse_t, blueprint);
            let w = row_transforms.teacher.apply::<N>(w, inverse_t, blueprint);
            let mut g = turned.pull(u, w);
            if comptime!(blueprint == Blueprint::Softmaxes) {
                g *= u * Vector::new(inverse_t);
            }
            if comptime!(added) {
                g += load::<F, F, B, N>(&*grad, offset);
            }
            store::<F, F, B, N>(grad, offset, g);
            v += team.size;
        }
    }
    turned.loss.extract(0usize)
}

/// Launches loss and gradient of the problem's rows into `out`, on a device that is no CPU.
pub(super) fn launch_by_teams(
    problem: &CosineProblem,
    [student, teacher]: [&Tensor; 2],
    out: &LossAndGrad,
) {
    let client = student.client();
    let &CosineProblem {
        batch,
        length,
        options,
        dtype,
    } = problem;
    let lanes = Lanes::apart(client, dtype, length, &[student, teacher, &out.grad]);
    let teams = Teams::of_batch(client, batch, lanes.vectors());
    // SAFETY: student, teacher and gradient hold `batch` rows of `length` elements, and teams past the last row write nothing.
    unsafe {
        by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(teacher),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            options.scalars(batch, dtype),
            batch,
            length,
            lanes.vectors(),
            teams.size,
            options.blueprint(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
