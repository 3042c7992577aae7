//! The kernels over rows on GPUs: a team a row ([`crate::team`]).
//!
//! **One team owns** a row: of both teachers, for their maxima and sums, in two walks; then of the student, in two walks for its own
//! and a third for divergences and gradient. The formulas are the CPU's (`row.rs`). The rule between is
//! applied after one team has added up the batch (`confidence.rs`).

use super::row::{Extrema, Pull, Scales, ScalesLaunch, StudentRow, Weights};
use super::{DualTeacherProblem, Teachers};
use crate::lanes::{Lanes, load, store};
use crate::loss::LossAndGrad;
use crate::loss::lane_reduce::larger;
use crate::loss::log_space::series_terms;
use crate::loss::row::{element, highest, is_class, where_finite};
use crate::team::{Team, Teams, pair, quad};
use crate::{Labels, Tensor, launch};
use cubecl::prelude::*;

/// Numbers that are reduced at a time, of the student and of both teachers.
type Two = Const<2>;
type Quad = Const<4>;

/// The largest logit and the sum of exponentials of each row of both teachers. One team owns a row.
#[cube(launch_unchecked)]
fn rows_by_teams<S: Float, F: Float, B: Size, N: Size>(
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    rows: &mut [F],
    inverse_t: InputScalar,
    batch: usize,
    classes: usize,
    vectors: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let inverse_t = inverse_t.get::<F>();
    let mut team = Team::<F, Quad>::new(batch, team);
    let start = team.row * classes;
    let none = Vector::<F, N>::new(F::min_value());
    let mut high1 = none;
    let mut low1 = none;
    let mut high2 = none;
    let mut low2 = none;
    let mut v = team.unit;
    while v < vectors {
        let v1 = load::<S, F, B, N>(first_teacher, start + v * N::value());
        let v2 = load::<S, F, B, N>(second_teacher, start + v * N::value());
        high1 = larger::<F, N>(v1, high1);
        low1 = larger::<F, N>(-v1, low1);
        high2 = larger::<F, N>(v2, high2);
        low2 = larger::<F, N>(-v2, low2);
        v += team.size;
    }
    let extrema = team.max(quad::<F>(
        highest::<F, N>(high1),
        highest::<F, N>(low1),
        highest::<F, N>(high2),
        highest::<F, N>(low2),
    ));
    let (max1, max2) = (extrema.extract(0usize), extrema.extract(2usize));
    let max1 = where_finite::<F>(max1, (max1 + extrema.extract(1usize)) * inverse_t);
    let max2 = where_finite::<F>(max2, (max2 + extrema.extract(3usize)) * inverse_t);
    let zero = F::new(0.0f32);
    let scale = Vector::<F, N>::new(inverse_t);
    let mut sum1 = Vector::<F, N>::new(zero);
    let mut sum2 = Vector::<F, N>::new(zero);
    let mut v = team.unit;
    while v < vectors {
        let mut part1 = Vector::<F, N>::new(zero);
        let mut part2 = Vector::<F, N>::new(zero);
        let end = team.block(v, vectors);
        while v < end {
            let v1 = load::<S, F, B, N>(first_teacher, start + v * N::value());
            let v2 = load::<S, F, B, N>(second_teacher, start + v * N::value());
            part1 += ((v1 - Vector::new(max1)) * scale).exp();
            part2 += ((v2 - Vector::new(max2)) * scale).exp();
            v += team.size;
        }
        sum1 += part1;
        sum2 += part2;
    }
    let sums = team.sum(quad::<F>(sum1.vector_sum(), sum2.vector_sum(), zero, zero));
    if team.leads() {
        let n = team.row;
        rows[4 * n] = max1;
        rows[4 * n + 1] = sums.extract(0usize);
        rows[4 * n + 2] = max2;
        rows[4 * n + 3] = sums.extract(1usize);
    }
}

/// Loss and gradient. One team owns a row; `rows` and `weights` are what weighing the teachers left.
#[cube(launch_unchecked)]
fn by_teams<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    labels: &[u32],
    rows: &[F],
    weights: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scales: Scales,
    batch: usize,
    classes: usize,
    vectors: usize,
    team: usize,
    #[comptime] terms: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let by = Weights::<F>::new(weights, &scales);
    let mut team = Team::<F, Two>::new(batch, team);
    let n = team.row;
    let start = n * classes;
    let label = usize::cast_from(labels[n]);
    let s = read_row::<S, F, B, N>(student, &mut team, start, vectors, label, by.inverse_t);
    let pull = Pull::<F, N>::new(&s, rows, n, &by);
    let mut kl = zero;
    let mut v = team.unit;
    while v < vectors {
        let mut part = zero;
        let end = team.block(v, vectors);
        while v < end {
            let at = v * N::value();
            let z = load::<S, F, B, N>(student, start + at);
            let v1 = load::<S, F, B, N>(first_teacher, start + at);
            let v2 = load::<S, F, B, N>(second_teacher, start + at);
            let found = pull.step(z, v1, v2, is_class::<N>(at, label), terms);
            part += found.divergence;
            if team.there {
                store::<F, F, B, N>(grad, start + at, found.grad);
            }
            v += team.size;
        }
        kl += part;
    }
    let kl = team.sum(Vector::new(kl.vector_sum())).extract(0usize);
    if team.leads() {
        loss[n] = s.loss(&by, kl);
    }
}

/// Walks the student's row twice: for its maxima, then for the sums of exponentials.
#[cube]
fn read_row<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    team: &mut Team<F, Two>,
    start: usize,
    vectors: usize,
    label: usize,
    inverse_t: F,
) -> StudentRow<F> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let none = Vector::<F, N>::new(F::min_value());
    let label_logit = element::<S, F, B>(logits, start, label);
    let mut high = none;
    let mut low = none;
    let mut v = team.unit;
    while v < vectors {
        let at = v * N::value();
        let z = load::<S, F, B, N>(logits, start + at);
        high = select_many(is_class::<N>(at, label), high, larger::<F, N>(z, high));
        low = larger::<F, N>(-z, low);
        v += team.size;
    }
    let found = team.max(pair::<F>(highest::<F, N>(high), highest::<F, N>(low)));
    let (rest_max, low) = (found.extract(0usize), found.extract(1usize));
    let extrema = Extrema::<F>::new(label_logit, rest_max, low, inverse_t);
    let scale = Vector::<F, N>::new(inverse_t);
    let mut sum = zero;
    let mut rest_sum = zero;
    let mut v = team.unit;
    while v < vectors {
        let mut part = zero;
        let mut rest_part = zero;
        let end = team.block(v, vectors);
        while v < end {
            let at = v * N::value();
            let z = load::<S, F, B, N>(logits, start + at);
            let rest = (z - Vector::new(extrema.rest_max)).exp();
            part += ((z - Vector::new(extrema.max)) * scale).exp();
            rest_part += select_many(is_class::<N>(at, label), zero, rest);
            v += team.size;
        }
        sum += part;
        rest_sum += rest_part;
    }
    let sums = team.sum(pair::<F>(sum.vector_sum(), rest_sum.vector_sum()));
    StudentRow::<F>::new(
        &extrema,
        label_logit,
        sums.extract(0usize),
        sums.extract(1usize),
    )
}

/// Launches the statistics of each row of both teachers into `rows` `[n, 4]`, on a device that is no CPU.
pub(super) fn launch_rows(
    problem: &DualTeacherProblem,
    [first, second]: &[Tensor; 2],
    temperature: f64,
    rows: &Tensor,
) {
    let &DualTeacherProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let client = first.client();
    let lanes = Lanes::apart(client, dtype, classes, &[first, second]);
    let teams = Teams::of(client, batch, lanes.vectors());
    // SAFETY: both hold `batch` rows of `classes` logits, and teams past the last row write nothing.
    unsafe {
        rows_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(first),
            lanes.arg(second),
            rows.arg(1),
            dtype.scalar(1.0 / temperature),
            batch,
            classes,
            lanes.vectors(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// Launches loss and gradient into `out`, on a device that is no CPU.
pub(super) fn launch_fused(
    teachers: &Teachers,
    student: &Tensor,
    labels: &Labels,
    scales: ScalesLaunch,
    out: &LossAndGrad,
) {
    let client = student.client();
    let &DualTeacherProblem {
        batch,
        classes,
        dtype,
        ..
    } = &teachers.problem;
    let [first, second] = &teachers.logits;
    let lanes = Lanes::apart(client, dtype, classes, &[student, first, second, &out.grad]);
    let teams = Teams::of(client, batch, lanes.vectors());
    // SAFETY: all logits and the gradient hold `batch` rows of `classes` elements, every label is a class, and teams past the last
    // row write nothing.
    unsafe {
        by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(first),
            lanes.arg(second),
            labels.arg(),
            teachers.rows.arg(1),
            teachers.weights.arg(1),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            scales,
            batch,
            classes,
            lanes.vectors(),
            teams.size,
            series_terms(dtype.accumulator()),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
