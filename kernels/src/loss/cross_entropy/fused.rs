use super::CrossEntropyProblem;
use crate::loss::LossAndGrad;
use crate::loss::log_space::{is_target, read_row, sigmoid, softplus};
use crate::{Labels, Tensor, launch};
use cubecl::prelude::*;

/// One unit owns a run of rows. `spread` is the smoothing over the number of classes, `mean` is 1 over the batch.
#[cube(launch_unchecked)]
fn fused<F: Float, N: Size>(
    logits: &[Vector<F, N>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<F, N>],
    smoothing: InputScalar,
    spread: InputScalar,
    mean: InputScalar,
    batch: usize,
    vectors: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let smoothing = smoothing.get::<F>();
    let spread = spread.get::<F>();
    let mean = mean.get::<F>();
    let one = F::new(1.0f32);
    let others = F::cast_from(vectors * N::value() - 1);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * vectors;
        let target = usize::cast_from(labels[n]);
        let row = read_row::<F, N>(logits, start, vectors, target, one);
        let rest = sigmoid::<F>(-row.log_odds);
        let max = Vector::<F, N>::new(row.max);
        let share = Vector::<F, N>::new(rest / row.sum);
        let target_grad = Vector::<F, N>::new((smoothing - spread - rest) * mean);
        let mut shifted_sum = Vector::<F, N>::new(F::new(0.0f32));
        for i in 0..vectors {
            let shifted = logits[start + i] - max;
            let other_grad = (shifted.exp() * share - Vector::new(spread)) * Vector::new(mean);
            let target_lane = is_target::<N>(i, target);
            grad[start + i] = select_many(target_lane, target_grad, other_grad);
            shifted_sum += select_many(target_lane, Vector::new(F::new(0.0f32)), shifted);
        }
        let target_loss = softplus::<F>(-row.log_odds);
        let log_total = row.log_sum + softplus::<F>(row.log_odds);
        let other_losses = others * log_total - shifted_sum.vector_sum();
        loss[n] = ((one - smoothing) * target_loss + spread * (target_loss + other_losses)) * mean;
    }
}

/// Launches loss and gradient into `out`.
pub(super) fn launch_fused(
    problem: &CrossEntropyProblem,
    logits: &Tensor,
    labels: &Labels,
    out: &LossAndGrad,
) {
    let client = logits.client();
    let &CrossEntropyProblem {
        batch,
        classes,
        smoothing,
        dtype,
    } = problem;
    let width = launch::width(client, dtype, classes);
    let grid = launch::grid(client, batch);
    // SAFETY: the problem relates the extents, and every label is a class.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            logits.arg(width),
            labels.arg(),
            out.loss.arg(1),
            out.grad.arg(width),
            dtype.scalar(smoothing),
            dtype.scalar(smoothing / classes as f64),
            dtype.scalar(1.0 / batch as f64),
            batch,
            classes / width,
            grid.run,
            dtype.elem(),
        );
    }
    launch::pace(client);
}
