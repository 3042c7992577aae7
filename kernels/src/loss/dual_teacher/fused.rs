use super::row::{Extrema, Pull, Scales, ScalesLaunch, StudentRow, Weights};
use super::{DualTeacherProblem, Teachers, team};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::loss::LossAndGrad;
use crate::loss::log_space::series_terms;
use crate::loss::row::{element, fresh, highest, is_class};
use crate::{Labels, Tensor, launch, planted};
use cubecl::prelude::*;

/// One unit owns a run of rows. `rows` and `weights` are what weighing the teachers left.
#[cube(launch_unchecked)]
fn fused<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    _unaligned: &[S],
    labels: &[u32],
    rows: &[F],
    weights: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scales: Scales,
    batch: usize,
    classes: usize,
    vectors: usize,
    run: usize,
    #[comptime] terms: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let by = Weights::<F>::new(weights, &scales);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * classes;
        let label = usize::cast_from(labels[n]);
        let s = read_row::<S, F, B, N>(student, start, classes, vectors, label, by.inverse_t);
        let pull = Pull::<F, N>::new(&s, rows, n, &by);
        let mut kl = Cascade::<F, N>::new();
        for block in 0..blocks(vectors) {
            let mut part = zero;
            for v in block_start(block)..block_end(block, vectors) {
                let at = channel::<N>(v, classes);
                let z = load::<S, F, B, N>(student, start + at);
                let v1 = load::<S, F, B, N>(first_teacher, start + at);
                let v2 = load::<S, F, B, N>(second_teacher, start + at);
                let found = pull.step(z, v1, v2, is_class::<N>(at, label), terms);
                part += select_many(fresh::<N>(v, at), found.divergence, zero);
                store::<F, F, B, N>(grad, start + at, found.grad);
            }
            kl.add(part);
        }
        loss[n] = s.loss(&by, kl.total().vector_sum());
    }
}

/// Reads the student's row twice: for its maxima, then for the sums of exponentials.
#[cube]
fn read_row<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    start: usize,
    classes: usize,
    vectors: usize,
    label: usize,
    inverse_t: F,
) -> StudentRow<F> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let scale = Vector::<F, N>::new(inverse_t);
    let label_logit = element::<S, F, B>(logits, start, label);
    // Any other logit is a maximum to start from; with it no lane needs a stand-in for minus infinity.
    let other = select(label == 0, 1usize, 0usize);
    let mut high = Vector::<F, N>::new(element::<S, F, B>(logits, start, other));
    let mut low = Vector::<F, N>::new(label_logit);
    for v in 0..vectors {
        let at = channel::<N>(v, classes);
        let z = load::<S, F, B, N>(logits, start + at);
        let higher = select_many(z.greater_than(&high), z, high);
        high = select_many(is_class::<N>(at, label), high, higher);
        low = select_many(z.less_than(&low), z, low);
    }
    let (rest_max, low) = (highest::<F, N>(high), highest::<F, N>(-low));
    let extrema = Extrema::<F>::new(label_logit, rest_max, low, inverse_t);
    let (max, rest_max) = (extrema.max, extrema.rest_max);
    let mut rest_sum = Cascade::<F, N>::new();
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(vectors) {
        let mut rest_part = zero;
        let mut part = zero;
        for v in block_start(block)..block_end(block, vectors) {
            let at = channel::<N>(v, classes);
            let z = load::<S, F, B, N>(logits, start + at);
            let counted = fresh::<N>(v, at);
            let e = ((z - Vector::new(max)) * scale).exp();
            let rest = (z - Vector::new(rest_max)).exp();
            let rest = select_many(is_class::<N>(at, label), zero, rest);
            part += select_many(counted, e, zero);
            rest_part += select_many(counted, rest, zero);
        }
        sum.add(part);
        rest_sum.add(rest_part);
    }
    StudentRow::<F>::new(
        &extrema,
        label_logit,
        sum.total().vector_sum(),
        rest_sum.total().vector_sum(),
    )
}

/// Launches loss and gradient into `out`.
pub(super) fn launch_fused(
    teachers: &Teachers,
    student: &Tensor,
    labels: &Labels,
    out: &LossAndGrad,
) {
    let client = student.client();
    let &DualTeacherProblem {
        batch,
        classes,
        options,
        dtype,
    } = &teachers.problem;
    let [first, second] = &teachers.logits;
    let (t, mean) = (options.temperature, 1.0 / batch as f64);
    let scales = ScalesLaunch::new(
        dtype.scalar(1.0 / t),
        dtype.scalar(mean),
        dtype.scalar(planted::or("dual_teacher_temperature", t * t, t) * mean),
        dtype.scalar(t * mean),
    );
    if !launch::is_cpu(client) {
        return team::launch_fused(teachers, student, labels, scales, out);
    }
    let lanes = Lanes::of(client, dtype, classes, &[student, first, second, &out.grad]);
    let grid = launch::grid_for(client, batch, batch * classes);
    // SAFETY: all logits and the gradient hold `batch` rows of `classes` elements, and every label is a class.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(first),
            lanes.arg(second),
            lanes.unaligned(student),
            labels.arg(),
            teachers.rows.arg(1),
            teachers.weights.arg(1),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            scales,
            batch,
            classes,
            lanes.vectors(),
            grid.run,
            series_terms(dtype.accumulator()),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
