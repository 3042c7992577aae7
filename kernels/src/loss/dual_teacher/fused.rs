use super::{DualTeacherProblem, Teachers};
use crate::lanes::{Lanes, channel, load, store};
use crate::loss::LossAndGrad;
use crate::loss::log_space::{divergence, series_terms, sigmoid, softplus};
use crate::loss::row::{BLOCK, element, fresh, highest, is_class, where_finite};
use crate::{Labels, Tensor, launch, planted};
use cubecl::prelude::*;

/// Factors of the loss and of its gradient that no row and no weight changes.
#[derive(CubeLaunch, CubeType)]
struct Scales {
    inverse_t: InputScalar,
    /// 1 over the batch.
    mean: InputScalar,
    /// `T^2 / N`.
    loss: InputScalar,
    /// `T / N`.
    grad: InputScalar,
}

/// A row of the student: the label against the rest at temperature 1, and the softmax of all classes at `T`.
#[derive(CubeType, Clone, Copy)]
struct Row<F: Float> {
    /// The largest logit but the label's.
    rest_max: F,
    /// The sum of `exp(z - rest_max)` over all classes but the label.
    rest_sum: F,
    /// `ln(p_label / (1 - p_label))` at temperature 1.
    log_odds: F,
    /// The largest logit.
    max: F,
    /// The sum of `exp((z - max) / T)`.
    sum: F,
}

/// One unit owns a run of rows. `rows` and `weights` are what weighing the teachers left.
#[cube(launch_unchecked)]
fn fused<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    _anywhere: &[S],
    labels: &[u32],
    rows: &[F],
    weights: &[F],
    loss: &mut [F],
    grad: &mut [Vector<S, B>],
    scales: Scales,
    batch: usize,
    classes: usize,
    vectors: usize,
    run: usize,
    #[comptime] terms: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let one = F::new(1.0f32);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let inverse_t = scales.inverse_t.get::<F>();
    let scale = Vector::<F, N>::new(inverse_t);
    let (alpha, beta) = (weights[2], weights[3]);
    let soft = (alpha + beta) * F::new(0.5f32);
    let hard = (one - soft) * scales.mean.get::<F>();
    let soft_loss = soft * scales.loss.get::<F>();
    let soft_grad = soft * scales.grad.get::<F>();
    let alphas = Vector::<F, N>::new(alpha);
    let betas = Vector::<F, N>::new(beta);
    let both = Vector::<F, N>::new(soft_grad);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * classes;
        let label = usize::cast_from(labels[n]);
        let s = read_row::<S, F, B, N>(student, start, classes, vectors, label, inverse_t);
        let (max1, sum1) = (rows[4 * n], rows[4 * n + 1]);
        let (max2, sum2) = (rows[4 * n + 2], rows[4 * n + 3]);
        let log_sum = s.sum.ln();
        let log_sums1 = Vector::<F, N>::new(log_sum - sum1.ln());
        let log_sums2 = Vector::<F, N>::new(log_sum - sum2.ln());
        let share = Vector::<F, N>::new(one / s.sum);
        let share1 = Vector::<F, N>::new(one / sum1);
        let share2 = Vector::<F, N>::new(one / sum2);
        let (max1, max2) = (Vector::<F, N>::new(max1), Vector::<F, N>::new(max2));
        let (max, rest_max) = (Vector::<F, N>::new(s.max), Vector::<F, N>::new(s.rest_max));
        // The label's probability is 1 - rest, without the rounding.
        let rest = sigmoid::<F>(-s.log_odds);
        let label_grad = Vector::<F, N>::new(-rest * hard);
        let rest_share = Vector::<F, N>::new(rest / s.rest_sum * hard);
        let mut kl = zero;
        for block in 0..(vectors + BLOCK - 1) / BLOCK {
            let mut part = zero;
            for v in block * BLOCK..min(block * BLOCK + BLOCK, vectors) {
                let at = channel::<N>(v, classes);
                let z = load::<S, F, B, N>(student, start + at);
                let shifted = z - max;
                let shifted1 = load::<S, F, B, N>(first_teacher, start + at) - max1;
                let shifted2 = load::<S, F, B, N>(second_teacher, start + at) - max2;
                let p = (shifted * scale).exp() * share;
                let q1 = (shifted1 * scale).exp() * share1;
                let q2 = (shifted2 * scale).exp() * share2;
                let log_ratio1 = (shifted - shifted1) * scale - log_sums1;
                let log_ratio2 = (shifted - shifted2) * scale - log_sums2;
                let kl1 = divergence::<F, N>(q1, p, log_ratio1, terms);
                let kl2 = divergence::<F, N>(q2, p, log_ratio2, terms);
                part += select_many(fresh::<N>(v, at), alphas * kl1 + betas * kl2, zero);
                let hard_grad = select_many(
                    is_class::<N>(at, label),
                    label_grad,
                    (z - rest_max).exp() * rest_share,
                );
                let soft_grad = both * (alphas * (p - q1) + betas * (p - q2));
                store::<S, F, B, N>(grad, start + at, hard_grad + soft_grad);
            }
            kl += part;
        }
        loss[n] = hard * softplus::<F>(-s.log_odds) + soft_loss * kl.vector_sum();
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
) -> Row<F> {
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
    let rest_max = highest::<F, N>(high);
    let max = select(label_logit > rest_max, label_logit, rest_max);
    let spread = max + highest::<F, N>(-low);
    let spread = select(inverse_t > F::new(1.0f32), spread * inverse_t, spread);
    let max = where_finite::<F>(max, spread);
    let mut rest_sum = zero;
    let mut sum = zero;
    for block in 0..(vectors + BLOCK - 1) / BLOCK {
        let mut rest_part = zero;
        let mut part = zero;
        for v in block * BLOCK..min(block * BLOCK + BLOCK, vectors) {
            let at = channel::<N>(v, classes);
            let z = load::<S, F, B, N>(logits, start + at);
            let counted = fresh::<N>(v, at);
            let e = ((z - Vector::new(max)) * scale).exp();
            let rest = (z - Vector::new(rest_max)).exp();
            let rest = select_many(is_class::<N>(at, label), zero, rest);
            part += select_many(counted, e, zero);
            rest_part += select_many(counted, rest, zero);
        }
        sum += part;
        rest_sum += rest_part;
    }
    let rest_sum = where_finite::<F>(rest_sum.vector_sum(), spread);
    Row::<F> {
        rest_max,
        rest_sum,
        log_odds: (label_logit - rest_max) - rest_sum.ln(),
        max,
        sum: sum.vector_sum(),
    }
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
    let lanes = Lanes::of(client, dtype, classes, &[student, first, second, &out.grad]);
    let grid = launch::grid_for(client, batch, batch * classes);
    let (t, mean) = (options.temperature, 1.0 / batch as f64);
    let scales = ScalesLaunch::new(
        dtype.scalar(1.0 / t),
        dtype.scalar(mean),
        dtype.scalar(planted::or("dual_teacher_temperature", t * t, t) * mean),
        dtype.scalar(t * mean),
    );
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
            lanes.anywhere(student),
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
    launch::pace(client);
}
