//! A row of logits in log space, as the loss kernels see it: the target class against the rest, and the softmax of the rest.
//!
//! Exponents are taken of differences to the largest non-target logit, and that maximum is kept apart from the logarithm of the
//! sum: adding the two would round a log-probability to the precision of the logit's own size.

use crate::DType;
use crate::special::nan;
use cubecl::prelude::*;

/// The log-sum-exp of a row's non-target logits over the temperature, `max / t + ln(sum)`, and the target's log-odds against it.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Row<F: Float> {
    /// The largest non-target logit.
    pub max: F,
    /// The non-target sum of `exp((z - max) / t)`; NaN for a non-target NaN and for any infinite logit.
    pub sum: F,
    /// `ln(sum)`.
    pub log_sum: F,
    /// `ln(p_target / (1 - p_target))`.
    pub log_odds: F,
}

/// Whether each lane of vector `index` of a row is its target class.
#[cube]
pub(super) fn is_target<N: Size>(index: usize, target: usize) -> Vector<bool, N> {
    let mut lanes = Vector::<u32, N>::new(0u32);
    #[unroll]
    for lane in 0..N::value() {
        lanes.insert(lane, u32::cast_from(lane));
    }
    // Before the target's vector the difference wraps to a number past every lane.
    lanes.equal(&Vector::new(
        u32::cast_from(target) - u32::cast_from(index * N::value()),
    ))
}

/// Reads the row of `vectors` vectors from `start` on, once.
#[cube]
pub(super) fn read_row<F: Float, N: Size>(
    logits: &[Vector<F, N>],
    start: usize,
    vectors: usize,
    target: usize,
    inverse_t: F,
) -> Row<F> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let scale = Vector::<F, N>::new(inverse_t);
    // Any non-target logit is a maximum to start from; with it no lane needs a stand-in for minus infinity.
    let other = select(target == 0, 1usize, 0usize);
    let mut max = Vector::<F, N>::new(logit(logits, start, other));
    let mut sum = zero;
    let mut farthest = zero;
    for i in 0..vectors {
        let z = logits[start + i];
        let higher = z.greater_than(&max);
        // One exponential serves both cases: it scales the old sum when the maximum grows, else it is the new term.
        let distance = (z - max).abs() * scale;
        let e = (-distance).exp();
        farthest = select_many(distance.greater_than(&farthest), distance, farthest);
        let target_lane = is_target::<N>(i, target);
        sum = select_many(
            target_lane,
            sum,
            select_many(higher, fma(sum, e, one), sum + e),
        );
        max = select_many(target_lane, max, select_many(higher, z, max));
    }
    let mut top = max.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        let value = max.extract(lane);
        top = select(value > top, value, top);
    }
    // An infinite logit is infinitely far from the rest; a NaN is in the sum, or in the log-odds, already.
    let sum = select_many(farthest.is_inf(), Vector::new(nan::<F>()), sum);
    let total = (sum * ((max - Vector::new(top)) * scale).exp()).vector_sum();
    let log_sum = total.ln();
    let log_odds = (logit(logits, start, target) - top) * inverse_t - log_sum;
    Row::<F> {
        max: top,
        sum: total,
        log_sum,
        log_odds,
    }
}

/// One logit of the row that starts at vector `start`.
#[cube]
fn logit<F: Float, N: Size>(logits: &[Vector<F, N>], start: usize, class: usize) -> F {
    logits[start + class / N::value()].extract_dynamic(class % N::value())
}

/// `ln(1 + exp(x))`, without overflow, and with its full relative precision where it is small.
#[cube]
pub(super) fn softplus<F: Float>(x: F) -> F {
    let one = F::new(1.0f32);
    let e = (-x.abs()).exp();
    // `ln(u) e / (u - 1)` is ln(1 + e) without the rounding of u = 1 + e.
    let u = one + e;
    let log = select(u == one, e, u.ln() * e / (u - one));
    select(x > F::new(0.0f32), x + log, log)
}

/// `1 / (1 + exp(-x))`.
#[cube]
pub(super) fn sigmoid<F: Float>(x: F) -> F {
    F::new(1.0f32) / (F::new(1.0f32) + (-x).exp())
}

/// `2 (exp(r) - 1 - r) / r^2`, the sum of `2 r^i / (i + 2)!`, for `|r| < 1/2`; `terms` is [`series_terms`].
#[cube]
fn past_linear<F: Float, N: Size>(r: Vector<F, N>, #[comptime] terms: usize) -> Vector<F, N> {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let mut series = Vector::<F, N>::new(F::new(0.0f32));
    #[unroll]
    for i in 0..terms {
        let half_factorial = comptime!((3..terms as u64 - i as u64 + 2).product::<u64>());
        series = fma(series, r, one / Vector::new(F::cast_from(half_factorial)));
    }
    series
}

/// `q (exp(r) - 1 - r)` for `p = q exp(r)`: one class' share of the divergence of `p` from `q`.
///
/// Over two distributions these sum to `sum of q (ln q - ln p)`, since both sum to 1; but every share is at least 0, and none is a
/// difference of large terms, so that the divergence of two flat softmaxes (a high temperature) keeps its digits.
#[cube]
pub(super) fn divergence<F: Float, N: Size>(
    q: Vector<F, N>,
    p: Vector<F, N>,
    r: Vector<F, N>,
    #[comptime] terms: usize,
) -> Vector<F, N> {
    let half = Vector::<F, N>::new(F::new(0.5f32));
    let near = q * (r * r * half) * past_linear::<F, N>(r, terms);
    let far = p - q - q * r;
    select_many(r.abs().less_than(&half), near, far)
}

/// `sigmoid(a) - sigmoid(b)` as `sigmoid(high) sigmoid(-low) (1 - exp(low - high))` and its sign: of two probabilities near 1
/// or near each other, the difference keeps its digits.
#[cube]
pub(super) fn sigmoid_difference<F: Float>(a: F, b: F, #[comptime] terms: usize) -> F {
    let half = F::new(0.5f32);
    let ahead = a > b;
    let high = select(ahead, a, b);
    let low = select(ahead, b, a);
    let r = low - high;
    let series = past_linear::<F, Const<1>>(Vector::new(r), terms).extract(0usize);
    let fall = select(
        r > -half,
        -fma(r * r * half, series, r),
        F::new(1.0f32) - r.exp(),
    );
    let size = sigmoid::<F>(high) * sigmoid::<F>(-low) * fall;
    select(ahead, size, -size)
}

/// How many terms [`past_linear`] takes: enough that for `|r| < 1/2` the first one left out is below the rounding of `dtype`.
pub(super) fn series_terms(dtype: DType) -> usize {
    let rounding = match dtype {
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
    };
    let (mut term, mut terms) = (1.0, 0);
    while term > rounding {
        terms += 1;
        term *= 0.5 / (terms + 2) as f64;
    }
    terms
}
