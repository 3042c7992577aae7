//! A row of logits in log space, as the loss kernels see it: the target class against the rest, and the softmax of the rest.
//!
//! Exponents are taken of differences to the largest non-target logit, and that maximum is kept apart from the logarithm of the
//! sum: adding the two would round a log-probability to the precision of the logit's own size.

use crate::DType;
use cubecl::prelude::*;

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

/// Target against rest, from the log-odds of the target: one exponential and one logarithm for all four.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Odds<F: Float> {
    /// The log-odds themselves.
    pub log: F,
    /// The target's probability.
    pub target: F,
    /// The probability of the rest.
    pub rest: F,
    /// `-ln(target)`.
    pub target_loss: F,
    /// `-ln(rest)`.
    pub rest_loss: F,
}

#[cube]
impl<F: Float> Odds<F> {
    pub fn new(log: F) -> Self {
        let one = F::new(1.0f32);
        let zero = F::new(0.0f32);
        let e = (-log.abs()).exp();
        let u = one + e;
        let (likely, unlikely) = (one / u, e / u);
        // `ln(u) e / (u - 1)` is ln(1 + e) without the rounding of u = 1 + e.
        let log1p = select(u == one, e, u.ln() * e / (u - one));
        let ahead = log > zero;
        Odds::<F> {
            log,
            target: select(ahead, likely, unlikely),
            rest: select(ahead, unlikely, likely),
            target_loss: select(ahead, log1p, log1p - log),
            rest_loss: select(ahead, log1p + log, log1p),
        }
    }
}

/// `1 / (1 + exp(-x))`.
#[cube]
pub(super) fn sigmoid<F: Float>(x: F) -> F {
    F::new(1.0f32) / (F::new(1.0f32) + (-x).exp())
}

/// The polynomial of degree 5 nearest to `2 (exp(r) - 1 - r) / r^2` over `|r| <= 1/2`, relatively; off by 2.4e-8.
const PAST_LINEAR: [f32; 6] = [
    1.0,
    0.333_333_3,
    0.083_331_59,
    0.016_666_904,
    0.002_796_399_5,
    0.000_397_512_6,
];

/// `2 (exp(r) - 1 - r) / r^2` for `|r| < 1/2`; `terms` is [`series_terms`].
#[cube]
fn past_linear<F: Float, N: Size>(r: Vector<F, N>, #[comptime] terms: usize) -> Vector<F, N> {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let mut series = Vector::<F, N>::new(F::new(0.0f32));
    if comptime!(terms == PAST_LINEAR.len()) {
        series = Vector::new(F::new(comptime!(PAST_LINEAR[terms - 1])));
        #[unroll]
        for i in 1..terms {
            let coefficient = Vector::new(F::new(comptime!(PAST_LINEAR[terms - 1 - i])));
            series = fma(series, r, coefficient);
        }
    } else {
        // The sum of `2 r^i / (i + 2)!`.
        #[unroll]
        for i in 0..terms {
            let half_factorial = comptime!((3..terms as u64 - i as u64 + 2).product::<u64>());
            series = fma(series, r, one / Vector::new(F::cast_from(half_factorial)));
        }
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

/// How far the target's probability in `a` lies above that in `b`, as `high low' (1 - exp(low - high))`, `low'` being the rest's
/// probability: of two probabilities near 1 or near each other, the difference keeps its digits.
#[cube]
pub(super) fn target_difference<F: Float>(a: &Odds<F>, b: &Odds<F>, #[comptime] terms: usize) -> F {
    let half = F::new(0.5f32);
    let ahead = a.log > b.log;
    let r = select(ahead, b.log - a.log, a.log - b.log);
    let series = past_linear::<F, Const<1>>(Vector::new(r), terms).extract(0usize);
    let fall = select(
        r > -half,
        -fma(r * r * half, series, r),
        F::new(1.0f32) - r.exp(),
    );
    let size = select(ahead, a.target * b.rest, b.target * a.rest) * fall;
    select(ahead, size, -size)
}

/// How many terms [`past_linear`] takes: those of its polynomial in f32; in f64 as many of its series as leave out less than a
/// rounding for `|r| < 1/2`.
pub(super) fn series_terms(dtype: DType) -> usize {
    if dtype == DType::F32 {
        return PAST_LINEAR.len();
    }
    let (mut term, mut terms) = (1.0, 0);
    while term > f64::EPSILON {
        terms += 1;
        term *= 0.5 / (terms + 2) as f64;
    }
    terms
}
