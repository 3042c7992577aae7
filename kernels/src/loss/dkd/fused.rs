use super::{DkdOptions, DkdProblem};
use crate::loss::LossAndGrad;
use crate::loss::log_space::{
    Row, divergence, is_target, read_row, series_terms, sigmoid, sigmoid_difference, softplus,
};
use crate::{Labels, Tensor, launch, planted};
use cubecl::prelude::*;

/// One scalar, as the vector that [`divergence`] takes.
type One = Const<1>;

/// What multiplies the terms, in the loss (`weight T^2 / N`) and in the gradient (`weight T / N`).
#[derive(CubeLaunch, CubeType)]
struct Scales {
    inverse_t: InputScalar,
    loss_alpha: InputScalar,
    loss_beta: InputScalar,
    grad_alpha: InputScalar,
    grad_beta: InputScalar,
}

/// One unit owns a run of rows.
#[cube(launch_unchecked)]
fn fused<F: Float, N: Size>(
    student: &[Vector<F, N>],
    teacher: &[Vector<F, N>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<F, N>],
    scales: Scales,
    batch: usize,
    vectors: usize,
    run: usize,
    #[comptime] terms: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let inverse_t = scales.inverse_t.get::<F>();
    let grad_alpha = scales.grad_alpha.get::<F>();
    let grad_beta = Vector::<F, N>::new(scales.grad_beta.get::<F>());
    let scale = Vector::<F, N>::new(inverse_t);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * vectors;
        let target = usize::cast_from(labels[n]);
        let s = read_row::<F, N>(student, start, vectors, target, inverse_t);
        let t = read_row::<F, N>(teacher, start, vectors, target, inverse_t);
        let target_grad = grad_alpha * sigmoid_difference::<F>(s.log_odds, t.log_odds, terms);
        let (s_max, t_max) = (Vector::<F, N>::new(s.max), Vector::<F, N>::new(t.max));
        let s_share = Vector::<F, N>::new(F::new(1.0f32) / s.sum);
        let t_share = Vector::<F, N>::new(F::new(1.0f32) / t.sum);
        let log_sums = Vector::<F, N>::new(s.log_sum - t.log_sum);
        let mut nckd = zero;
        for i in 0..vectors {
            let s_shifted = student[start + i] - s_max;
            let t_shifted = teacher[start + i] - t_max;
            let p = (s_shifted * scale).exp() * s_share;
            let q = (t_shifted * scale).exp() * t_share;
            let log_ratio = (s_shifted - t_shifted) * scale - log_sums;
            let other_grad = fma(-p, Vector::new(target_grad), grad_beta * (p - q));
            let share = divergence::<F, N>(q, p, log_ratio, terms);
            let target_lane = is_target::<N>(i, target);
            grad[start + i] = select_many(target_lane, Vector::new(target_grad), other_grad);
            nckd += select_many(target_lane, zero, share);
        }
        let tckd = binary_divergence::<F>(&s, &t, terms);
        loss[n] =
            scales.loss_alpha.get::<F>() * tckd + scales.loss_beta.get::<F>() * nckd.vector_sum();
    }
}

/// TCKD: the divergence of target against rest.
#[cube]
fn binary_divergence<F: Float>(s: &Row<F>, t: &Row<F>, #[comptime] terms: usize) -> F {
    let target = divergence::<F, One>(
        Vector::new(sigmoid::<F>(t.log_odds)),
        Vector::new(sigmoid::<F>(s.log_odds)),
        Vector::new(softplus::<F>(-t.log_odds) - softplus::<F>(-s.log_odds)),
        terms,
    );
    let rest = divergence::<F, One>(
        Vector::new(sigmoid::<F>(-t.log_odds)),
        Vector::new(sigmoid::<F>(-s.log_odds)),
        Vector::new(softplus::<F>(t.log_odds) - softplus::<F>(s.log_odds)),
        terms,
    );
    (target + rest).extract(0usize)
}

/// Launches loss and gradient into `out`.
pub(super) fn launch_fused(
    problem: &DkdProblem,
    student: &Tensor,
    teacher: &Tensor,
    labels: &Labels,
    out: &LossAndGrad,
) {
    let client = student.client();
    let &DkdProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let DkdOptions {
        alpha,
        beta,
        temperature,
        weight,
    } = options;
    let width = launch::width(client, dtype, classes);
    let grid = launch::grid(client, batch);
    let in_grad = weight * temperature / batch as f64;
    let in_loss = planted::or("dkd_temperature", in_grad * temperature, in_grad);
    let scales = ScalesLaunch::new(
        dtype.scalar(1.0 / temperature),
        dtype.scalar(in_loss * alpha),
        dtype.scalar(in_loss * beta),
        dtype.scalar(in_grad * alpha),
        dtype.scalar(in_grad * beta),
    );
    // SAFETY: the problem relates the extents, and every label is a class.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            student.arg(width),
            teacher.arg(width),
            labels.arg(),
            out.loss.arg(1),
            out.grad.arg(width),
            scales,
            batch,
            classes / width,
            grid.run,
            series_terms(dtype),
            dtype.elem(),
        );
    }
    launch::pace(client);
}
