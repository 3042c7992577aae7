//! The kernel over rows on GPUs: a team a row ([`crate::team`]).
//!
//! **One team owns** a row of both teachers, for their maxima and sums, in two walks. The rule of the batch is applied after one team has
//! added it up (`rule.rs`).

use super::rule::{Blueprint, Literals};
use super::{DualTeacherProblem, Weighed};
use crate::lanes::{Lanes, load};
use crate::loss::lane_reduce::larger;
use crate::loss::row::{highest, where_finite};
use crate::team::{Team, Teams, quad};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Numbers that are reduced at a time, of both teachers.
type Quad = Const<4>;

/// The confidences of each row of both teachers, into `confidences` `[n, 2]` or, sample by sample, through the rule. One team owns a row.
#[cube(launch_unchecked)]
fn rows_by_teams<S: Float, F: Float, B: Size, N: Size>(
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    confidences: &mut [F],
    factors: &mut [F],
    literals: Literals,
    inverse_t: InputScalar,
    batch: usize,
    classes: usize,
    vectors: usize,
    team: usize,
    #[comptime] blueprint: Blueprint,
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
        let one = F::new(1.0f32);
        // The largest softmax is that of the largest logit, whose exponential is 1.
        let (c1, c2) = (one / sums.extract(0usize), one / sums.extract(1usize));
        if comptime!(blueprint.by_sample) {
            literals.apply::<F>(confidences, factors, n, c1, c2, blueprint);
        } else {
            confidences[2 * n] = c1;
            confidences[2 * n + 1] = c2;
        }
    }
}

/// Launches the confidences of each row, as [`launch_rows`](super::confidence::launch_rows) does, on a device that is no CPU.
pub(super) fn launch_rows(
    problem: &DualTeacherProblem,
    [first, second]: [&Tensor; 2],
    temperature: f64,
    confidences: &Tensor,
    found: &Weighed,
) {
    let &DualTeacherProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let client = first.client();
    let lanes = Lanes::apart(client, dtype, classes, &[first, second]);
    let teams = Teams::of_batch(client, batch, lanes.vectors());
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
            confidences.arg(1),
            found.factors.arg(1),
            Literals::of(problem),
            dtype.scalar(1.0 / temperature),
            batch,
            classes,
            lanes.vectors(),
            teams.size,
            Blueprint::of(problem),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
