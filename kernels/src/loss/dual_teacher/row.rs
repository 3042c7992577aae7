//! From what is known of a row's logits to the softmaxes, the losses and the gradient, class by class.

use crate::loss::log_space::{divergence, sigmoid, softplus};
use crate::loss::row::where_finite;
use cubecl::prelude::*;

/// Factors of the loss and of its gradient that no row and no weight changes.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Scales {
    pub inverse_t: InputScalar,
    /// 1 over the batch.
    pub mean: InputScalar,
    /// `T^2 / N`.
    pub loss: InputScalar,
    /// `T / N`.
    pub grad: InputScalar,
}

/// What the losses of a batch are weighted by.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Weights<F: Float> {
    pub inverse_t: F,
    /// Of the first and of the second teacher.
    alpha: F,
    beta: F,
    hard: F,
    soft_loss: F,
    soft_grad: F,
}

#[cube]
impl<F: Float> Weights<F> {
    /// From what weighing the teachers left.
    pub fn new(weights: &[F], scales: &Scales) -> Weights<F> {
        let (alpha, beta) = (weights[2], weights[3]);
        let soft = (alpha + beta) * F::new(0.5f32);
        Weights::<F> {
            inverse_t: scales.inverse_t.get::<F>(),
            alpha,
            beta,
            hard: (F::new(1.0f32) - soft) * scales.mean.get::<F>(),
            soft_loss: soft * scales.loss.get::<F>(),
            soft_grad: soft * scales.grad.get::<F>(),
        }
    }
}

/// The ends of a row of the student.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Extrema<F: Float> {
    /// The largest logit but the label's.
    pub rest_max: F,
    /// The largest logit.
    pub max: F,
    /// How far it lies above the least, over the temperature if that is below 1.
    spread: F,
}

#[cube]
impl<F: Float> Extrema<F> {
    /// `low` is the largest of all logits' negatives.
    pub fn new(label_logit: F, rest_max: F, low: F, inverse_t: F) -> Extrema<F> {
        let max = select(label_logit > rest_max, label_logit, rest_max);
        let spread = max + low;
        let spread = select(inverse_t > F::new(1.0f32), spread * inverse_t, spread);
        Extrema::<F> {
            rest_max,
            max: where_finite::<F>(max, spread),
            spread,
        }
    }
}

/// A row of the student: the label against the rest at temperature 1, and the softmax of all classes at `T`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct StudentRow<F: Float> {
    rest_max: F,
    /// The sum of `exp(z - rest_max)` over all classes but the label.
    rest_sum: F,
    /// `ln(p_label / (1 - p_label))` at temperature 1.
    log_odds: F,
    max: F,
    /// The sum of `exp((z - max) / T)`.
    sum: F,
}

#[cube]
impl<F: Float> StudentRow<F> {
    pub fn new(extrema: &Extrema<F>, label_logit: F, sum: F, rest_sum: F) -> StudentRow<F> {
        let rest_sum = where_finite::<F>(rest_sum, extrema.spread);
        StudentRow::<F> {
            rest_max: extrema.rest_max,
            rest_sum,
            log_odds: (label_logit - extrema.rest_max) - rest_sum.ln(),
            max: extrema.max,
            sum,
        }
    }

    /// The loss, from the sum of what [`Pull::step`] found of the divergences.
    pub fn loss(&self, weights: &Weights<F>, divergence: F) -> F {
        weights.hard * softplus::<F>(-self.log_odds) + weights.soft_loss * divergence
    }
}

/// A row's classes in all three networks.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Pull<F: Float, N: Size> {
    scale: Vector<F, N>,
    alphas: Vector<F, N>,
    betas: Vector<F, N>,
    both: Vector<F, N>,
    max: Vector<F, N>,
    max1: Vector<F, N>,
    max2: Vector<F, N>,
    rest_max: Vector<F, N>,
    share: Vector<F, N>,
    share1: Vector<F, N>,
    share2: Vector<F, N>,
    log_sums1: Vector<F, N>,
    log_sums2: Vector<F, N>,
    label_grad: Vector<F, N>,
    rest_share: Vector<F, N>,
}

/// What some classes add to the loss, and their gradient.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Step<F: Float, N: Size> {
    pub divergence: Vector<F, N>,
    pub grad: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Pull<F, N> {
    /// For row `n`; `rows` is what weighing the teachers left of theirs.
    pub fn new(student: &StudentRow<F>, rows: &[F], n: usize, weights: &Weights<F>) -> Pull<F, N> {
        let one = F::new(1.0f32);
        let (max1, sum1) = (rows[4 * n], rows[4 * n + 1]);
        let (max2, sum2) = (rows[4 * n + 2], rows[4 * n + 3]);
        let log_sum = student.sum.ln();
        // The label's probability is 1 - rest, without the rounding.
        let rest = sigmoid::<F>(-student.log_odds);
        Pull::<F, N> {
            scale: Vector::new(weights.inverse_t),
            alphas: Vector::new(weights.alpha),
            betas: Vector::new(weights.beta),
            both: Vector::new(weights.soft_grad),
            max: Vector::new(student.max),
            max1: Vector::new(max1),
            max2: Vector::new(max2),
            rest_max: Vector::new(student.rest_max),
            share: Vector::new(one / student.sum),
            share1: Vector::new(one / sum1),
            share2: Vector::new(one / sum2),
            log_sums1: Vector::new(log_sum - sum1.ln()),
            log_sums2: Vector::new(log_sum - sum2.ln()),
            label_grad: Vector::new(-rest * weights.hard),
            rest_share: Vector::new(rest / student.rest_sum * weights.hard),
        }
    }

    /// For classes of the logits `z`, `v1` and `v2`.
    pub fn step(
        &self,
        z: Vector<F, N>,
        v1: Vector<F, N>,
        v2: Vector<F, N>,
        is_label: Vector<bool, N>,
        #[comptime] terms: usize,
    ) -> Step<F, N> {
        let shifted = z - self.max;
        let shifted1 = v1 - self.max1;
        let shifted2 = v2 - self.max2;
        let p = (shifted * self.scale).exp() * self.share;
        let q1 = (shifted1 * self.scale).exp() * self.share1;
        let q2 = (shifted2 * self.scale).exp() * self.share2;
        let log_ratio1 = (shifted - shifted1) * self.scale - self.log_sums1;
        let log_ratio2 = (shifted - shifted2) * self.scale - self.log_sums2;
        let kl1 = divergence::<F, N>(q1, p, log_ratio1, terms);
        let kl2 = divergence::<F, N>(q2, p, log_ratio2, terms);
        let hard_grad = select_many(
            is_label,
            self.label_grad,
            (z - self.rest_max).exp() * self.rest_share,
        );
        let soft_grad = self.both * (self.alphas * (p - q1) + self.betas * (p - q2));
        Step::<F, N> {
            divergence: self.alphas * kl1 + self.betas * kl2,
            grad: hard_grad + soft_grad,
        }
    }
}
