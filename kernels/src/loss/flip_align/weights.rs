//! What a selection makes of the distances of one sample: plain numbers, a handful for each sample.

use super::maps::{Blueprint, Rule};
use crate::loss::decay::{Exponential, ln_past_one};
use crate::loss::log_space::divergence;
use crate::special::is_nan;
use cubecl::prelude::*;

/// The column of the smallest distance; of equal ones the first, and of NaNs, which are below every number, the last.
#[cube]
pub(super) fn nearest<F: Float>(distances: &Array<F>, #[comptime] columns: usize) -> u32 {
    let mut least = distances[0];
    let mut column = 0u32.runtime();
    #[unroll]
    for g in 1..columns {
        let nearer = if comptime!(crate::planted::is("flip_ties")) {
            distances[g] <= least
        } else {
            distances[g] < least
        };
        let nearer = nearer || is_nan::<F>(distances[g]);
        least = select(nearer, distances[g], least);
        column = select(nearer, comptime!(g as u32).runtime(), column);
    }
    column
}

/// The distance in `column`. A sum with weights 0 and 1 would carry what is not finite in another column into it.
#[cube]
fn picked<F: Float>(distances: &Array<F>, column: u32, #[comptime] columns: usize) -> F {
    let mut value = distances[0];
    #[unroll]
    for g in 1..columns {
        let own = column == comptime!(g as u32).runtime();
        value = select(own, distances[g], value);
    }
    value
}

/// `softmax(-distances / tau)`, or 1 for the column `nearest` of a hard selection.
#[cube]
pub(super) fn attend<F: Float>(
    distances: &Array<F>,
    weights: &mut Array<F>,
    nearest: u32,
    inverse_tau: F,
    #[comptime] blueprint: Blueprint,
) {
    let columns = comptime!(blueprint.columns());
    if comptime!(blueprint.rule == Rule::Hard) {
        #[unroll]
        for g in 0..columns {
            let own = nearest == comptime!(g as u32).runtime();
            weights[g] = select(own, F::new(1.0f32), F::new(0.0f32));
        }
    } else {
        let mut least = distances[0];
        #[unroll]
        for g in 1..columns {
            least = select(distances[g] < least, distances[g], least);
        }
        let mut sum = F::new(0.0f32);
        #[unroll]
        for g in 0..columns {
            let weight = ((least - distances[g]) * inverse_tau).exp();
            weights[g] = weight;
            sum += weight;
        }
        #[unroll]
        for g in 0..columns {
            weights[g] /= sum;
        }
    }
}

/// `sum of weights distances`.
#[cube]
pub(super) fn average<F: Float>(
    distances: &Array<F>,
    weights: &Array<F>,
    #[comptime] columns: usize,
) -> F {
    let mut sum = F::new(0.0f32);
    #[unroll]
    for g in 0..columns {
        sum = fma(weights[g], distances[g], sum);
    }
    sum
}

/// `-tau ln(mean of exp(-distances / tau))`.
#[cube]
fn soft_minimum<F: Float>(
    distances: &Array<F>,
    tau: F,
    inverse_tau: F,
    #[comptime] blueprint: Blueprint,
) -> F {
    let columns = comptime!(blueprint.columns());
    let zero = F::new(0.0f32);
    let one = F::new(1.0f32);
    let count = F::cast_from(comptime!(columns as u32).runtime());
    let mut least = distances[0];
    let mut most = distances[0];
    let mut sum = distances[0];
    #[unroll]
    for g in 1..columns {
        least = select(distances[g] < least, distances[g], least);
        most = select(distances[g] > most, distances[g], most);
        sum += distances[g];
    }
    let mean = sum / count;
    // Near the mean, exp(r) - 1 - r, whose terms are not differences: sum of r is 0.
    let flat = (most - least) * inverse_tau < F::new(0.5f32);
    let mut far = zero;
    let mut near = zero;
    #[unroll]
    for g in 0..columns {
        far += ((least - distances[g]) * inverse_tau).exp();
        let r = select(flat, (mean - distances[g]) * inverse_tau, zero);
        let share = divergence::<F, Const<1>>(
            Vector::new(one),
            Vector::new(r.exp()),
            Vector::new(r),
            blueprint.terms,
        );
        near += share.extract(0usize);
    }
    let far = if comptime!(crate::planted::is("flip_soft_minimum")) {
        least - tau * far.ln()
    } else {
        least - tau * (far / count).ln()
    };
    // A device's own logarithm near 1 may be off by 2^-21 (Vulkan), which `tau` magnifies.
    let past = Vector::<F, Const<1>>::new(near / count);
    let past = ln_past_one::<F, Const<1>>(past, comptime!(Exponential::Device)).extract(0usize);
    select(flat, mean - tau * past, far)
}

/// `k_g = dL / dD_g` of the selections that are made of distances, into `slopes`; `loss` is `L`.
#[cube]
pub(super) fn slopes<F: Float>(
    distances: &Array<F>,
    weights: &Array<F>,
    slopes: &mut Array<F>,
    loss: F,
    inverse_tau: F,
    #[comptime] blueprint: Blueprint,
) {
    #[unroll]
    for g in 0..comptime!(blueprint.targets()) {
        slopes[g] = if comptime!(blueprint.rule == Rule::Hard) {
            F::new(1.0f32)
        } else if comptime!(
            blueprint.rule == Rule::Attention && !crate::planted::is("flip_detached")
        ) {
            weights[g] * (F::new(1.0f32) - (distances[g] - loss) * inverse_tau)
        } else {
            weights[g]
        };
    }
}

/// The code of the choice in `column`, or the `given` one.
#[cube]
pub(super) fn code_of(column: u32, given: u32, #[comptime] blueprint: Blueprint) -> u32 {
    let mut code = given;
    if comptime!(blueprint.choices.is_some()) {
        #[unroll]
        for g in 0..comptime!(blueprint.columns()) {
            let own = column == comptime!(g as u32).runtime();
            code = select(own, comptime!(blueprint.code(g)).runtime(), code);
        }
    }
    code
}

/// `L` of the selections that are made of distances.
#[cube]
pub(super) fn value_of<F: Float>(
    distances: &Array<F>,
    weights: &Array<F>,
    column: u32,
    tau: F,
    inverse_tau: F,
    #[comptime] blueprint: Blueprint,
) -> F {
    let columns = comptime!(blueprint.columns());
    if comptime!(blueprint.rule == Rule::SoftMin) {
        soft_minimum::<F>(distances, tau, inverse_tau, blueprint)
    } else if comptime!(blueprint.rule == Rule::Hard) {
        picked::<F>(distances, column, columns)
    } else {
        average::<F>(distances, weights, columns)
    }
}

/// `<a^, e>` under the norm per sample, of a sample whose maps are multiplied by `scales`; `loss` is `L`, `share` is `1 / N`.
#[cube]
pub(super) fn inner_product<F: Float>(
    distances: &Array<F>,
    slopes: &Array<F>,
    loss: F,
    scales: (F, F),
    share: F,
    #[comptime] blueprint: Blueprint,
) -> F {
    // `<a^, a^ - t^>` is half of `D + |a^|^2 - |t^|^2`, whose norms are 1, or 0 for a map of zeros.
    let along = if comptime!(blueprint.rule == Rule::Hard) {
        loss
    } else {
        average::<F>(distances, slopes, comptime!(blueprint.columns()))
    };
    share * (along + length::<F>(scales.0) - length::<F>(scales.1))
}

/// The norm of a map that was multiplied by `scale`, the reciprocal of its norm: 1, or 0 for a map of zeros.
#[cube]
fn length<F: Float>(scale: F) -> F {
    select(scale == F::new(0.0f32), F::new(0.0f32), F::new(1.0f32))
}

/// `N b_g` of the mixed selection, from `<r, g.a>` in `products`: `c_g` without its `1 / N`.
#[cube]
pub(super) fn pulls<F: Float>(
    products: &Array<F>,
    weights: &Array<F>,
    divisor: F,
    inverse_tau: F,
    #[comptime] columns: usize,
) -> Array<F> {
    let mean = average::<F>(products, weights, columns);
    let mut pull = Array::<F>::new(columns);
    let slope = F::new(2.0f32) / divisor * inverse_tau;
    #[unroll]
    for g in 0..columns {
        pull[g] = -weights[g] * slope * (products[g] - mean);
    }
    pull
}

/// What the mixed selection's gradient multiplies its maps by: the student's under `k` by `own[k] = W_k`, the sum of `w_g w_h` over the
/// pairs with `g^-1 h = k`, and the teacher's under the inverse of `g` by `other[g] = w_g + pull_g`.
#[cube]
pub(super) fn mixed_slopes<F: Float>(
    weights: &Array<F>,
    pull: &Array<F>,
    own: &mut Array<F>,
    other: &mut Array<F>,
    #[comptime] blueprint: Blueprint,
) {
    let columns = comptime!(blueprint.columns());
    #[unroll]
    for g in 0..columns {
        own[g] = F::new(0.0f32);
        other[g] = weights[g] + pull[g];
    }
    #[unroll]
    for g in 0..columns {
        #[unroll]
        for h in 0..columns {
            let k = comptime!(blueprint.quotient(g, h));
            own[k] += weights[g] * weights[h];
        }
    }
}
