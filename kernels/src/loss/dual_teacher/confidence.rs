use super::rule::{Blueprint, Literals};
use super::{DualTeacherProblem, Weighed, team};
use crate::lanes::Lanes;
use crate::loss::row::{exponential_sum, row_max};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// A row's confidence: the largest softmax is that of the largest logit, whose exponential is 1.
#[cube]
fn confidence<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    start: usize,
    classes: usize,
    vectors: usize,
    inverse_t: F,
) -> F {
    let max = row_max::<S, F, B, N>(logits, start, classes, vectors, inverse_t);
    let sum = exponential_sum::<S, F, B, N>(logits, start, classes, vectors, max, inverse_t);
    F::new(1.0f32) / sum
}

/// The confidences of each row of both teachers, into `confidences` `[n, 2]` or, sample by sample, through the rule. One unit owns a run
/// of rows.
#[cube(launch_unchecked)]
fn rows_kernel<S: Float, F: Float, B: Size, N: Size>(
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    _unaligned: &[S],
    confidences: &mut [F],
    factors: &mut [F],
    literals: Literals,
    inverse_t: InputScalar,
    batch: usize,
    classes: usize,
    vectors: usize,
    run: usize,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let t = inverse_t.get::<F>();
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * classes;
        let c1 = confidence::<S, F, B, N>(first_teacher, start, classes, vectors, t);
        let c2 = confidence::<S, F, B, N>(second_teacher, start, classes, vectors, t);
        if comptime!(blueprint.by_sample) {
            literals.apply::<F>(confidences, factors, n, c1, c2, blueprint);
        } else {
            confidences[2 * n] = c1;
            confidences[2 * n + 1] = c2;
        }
    }
}

/// Launches the confidences of each row into `confidences`: `[n, 2]` or, where each sample is weighed by itself, its weights `[n, 4]`
/// with the factors of `found`.
pub(super) fn launch_rows(
    problem: &DualTeacherProblem,
    logits: [&Tensor; 2],
    confidences: &Tensor,
    found: &Weighed,
) {
    let &DualTeacherProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let [first, second] = logits;
    let client = first.client();
    let temperature = planted::or("dual_teacher_hard_confidence", options.temperature, 1.0);
    if !launch::is_cpu(client) {
        return team::launch_rows(problem, logits, temperature, confidences, found);
    }
    let lanes = Lanes::of(client, dtype, classes, &[first, second]);
    let grid = launch::grid_for(client, batch, batch * classes);
    // SAFETY: both hold `batch` rows of `classes` logits.
    unsafe {
        rows_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(first),
            lanes.arg(second),
            lanes.unaligned(first),
            confidences.arg(1),
            found.factors.arg(1),
            Literals::of(problem),
            dtype.scalar(1.0 / temperature),
            batch,
            classes,
            lanes.vectors(),
            grid.run,
            Blueprint::of(problem),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
