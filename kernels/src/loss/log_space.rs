//! A row of logits in log space, as the loss kernels see it: the target class against the rest, and the softmax of the rest.
//!
//! Exponents are taken of differences to the largest non-target logit, and that maximum is kept apart from the logarithm of the
//! sum: adding the two would round a log-probability to the precision of the logit's own size.

use super::decay::{Exponential, fall, ln_past_one};
use crate::DType;
use cubecl::prelude::*;

/// Target against rest, from the log-odds of the target: one exponential and one logarithm for all four.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Odds<F: Float, N: Size> {
    /// The log-odds themselves.
    pub log: Vector<F, N>,
    /// The target's probability.
    pub target: Vector<F, N>,
    /// The probability of the rest.
    pub rest: Vector<F, N>,
    /// `-ln(target)`.
    pub target_loss: Vector<F, N>,
    /// `-ln(rest)`.
    pub rest_loss: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Odds<F, N> {
    pub fn new(log: Vector<F, N>, #[comptime] exponential: Exponential) -> Self {
        let one = Vector::<F, N>::new(F::new(1.0f32));
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        let e = fall::<F, N>(-log.abs(), exponential);
        let likely = one / (one + e);
        let unlikely = e * likely;
        let log1p = ln_past_one::<F, N>(e, exponential);
        let ahead = log.greater_than(&zero);
        Odds::<F, N> {
            log,
            target: select_many(ahead, likely, unlikely),
            rest: select_many(ahead, unlikely, likely),
            target_loss: select_many(ahead, log1p, log1p - log),
            rest_loss: select_many(ahead, log1p + log, log1p),
        }
    }
}

/// The polynomial of degree 5 nearest to `(exp(r) - 1 - r) / r^2` over `|r| <= 1/2`, relatively; off by 2.4e-8.
const HALF_PAST_LINEAR: [f32; 6] = [
    0.5,
    0.166_666_66,
    0.041_665_796,
    0.008_333_452,
    0.001_398_199_7,
    0.000_198_756_3,
];

/// `(exp(r) - 1 - r) / r^2` for `|r| < 1/2`; `terms` is [`series_terms`].
#[cube]
fn half_past_linear<F: Float, N: Size>(r: Vector<F, N>, #[comptime] terms: usize) -> Vector<F, N> {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let mut series = Vector::<F, N>::new(F::new(0.0f32));
    if comptime!(terms == HALF_PAST_LINEAR.len()) {
        series = Vector::new(F::new(comptime!(HALF_PAST_LINEAR[terms - 1])));
        #[unroll]
        for i in 1..terms {
            let coefficient = Vector::new(F::new(comptime!(HALF_PAST_LINEAR[terms - 1 - i])));
            series = fma(series, r, coefficient);
        }
    } else {
        // The sum of `r^i / (i + 2)!`.
        #[unroll]
        for i in 0..terms {
            let factorial = comptime!((2..terms as u64 - i as u64 + 2).product::<u64>());
            series = fma(series, r, one / Vector::new(F::cast_from(factorial)));
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
    divergence_apart::<F, N>(q, p - q, r, terms)
}

/// [`divergence`] from `apart = p - q`; infinite or NaN where `r` is.
#[cube]
pub(super) fn divergence_apart<F: Float, N: Size>(
    q: Vector<F, N>,
    apart: Vector<F, N>,
    r: Vector<F, N>,
    #[comptime] terms: usize,
) -> Vector<F, N> {
    let square = r * r;
    let near = (q * square) * half_past_linear::<F, N>(r, terms);
    let far = fma(-q, r, apart);
    let quarter = Vector::<F, N>::new(F::new(0.25f32));
    select_many(square.less_than(&quarter), near, far)
}

/// How far the target's probability in `a` lies above that in `b`, as `high low' (1 - exp(low - high))`, `low'` being the rest's
/// probability: of two probabilities near 1 or near each other, the difference keeps its digits.
#[cube]
pub(super) fn target_difference<F: Float, N: Size>(
    a: &Odds<F, N>,
    b: &Odds<F, N>,
    #[comptime] terms: usize,
    #[comptime] exponential: Exponential,
) -> Vector<F, N> {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let half = Vector::<F, N>::new(F::new(0.5f32));
    let ahead = a.log.greater_than(&b.log);
    let r = select_many(ahead, b.log - a.log, a.log - b.log);
    let fallen = select_many(
        r.greater_than(&-half),
        -fma(r * r, half_past_linear::<F, N>(r, terms), r),
        one - fall::<F, N>(r, exponential),
    );
    let size = select_many(ahead, a.target * b.rest, b.target * a.rest) * fallen;
    select_many(ahead, size, -size)
}

/// How many terms [`half_past_linear`] takes: those of its polynomial in f32; in f64 as many of its series as leave out less than a
/// rounding for `|r| < 1/2`.
pub(super) fn series_terms(dtype: DType) -> usize {
    if dtype == DType::F32 {
        return HALF_PAST_LINEAR.len();
    }
    let (mut term, mut terms) = (1.0, 0);
    while term > f64::EPSILON {
        terms += 1;
        term *= 0.5 / (terms + 2) as f64;
    }
    terms
}
