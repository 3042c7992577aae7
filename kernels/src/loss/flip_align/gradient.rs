use super::Normalisation;
use super::maps::{Blueprint, Extent, Views, fresh, inverse, source};
use super::weights::mixed_slopes;
use crate::lanes::{channel, load, store};
use cubecl::prelude::*;

/// `sum of slopes t_g` at channel `c`, from the teacher's pixels at `from`.
#[cube]
fn target<S: Float, F: Float, B: Size, N: Size>(
    teacher: &[Vector<S, B>],
    from: &Array<usize>,
    slopes: &Array<F>,
    c: usize,
    #[comptime] targets: usize,
) -> Vector<F, N> {
    let mut sum = load::<S, F, B, N>(teacher, from[0] + c) * Vector::new(slopes[0]);
    #[unroll]
    for g in 1..targets {
        sum = fma(
            load::<S, F, B, N>(teacher, from[g] + c),
            Vector::new(slopes[g]),
            sum,
        );
    }
    sum
}

/// `(e - a^ <a^, e>) / |a|` for one sample, with `e = factor (a^ - sum of slopes nu(g^-1.t))`.
///
/// `inner` is `<a^, e>` under the norm per sample; `code` is the transform of a hard selection.
#[cube]
pub(super) fn write_gradient<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &mut [Vector<F, B>],
    views: &Views,
    first: usize,
    extent: &Extent,
    scales: (F, F),
    norms: &mut [F],
    norms_at: usize,
    code: u32,
    slopes: &Array<F>,
    factor: F,
    inner: F,
    #[comptime] blueprint: Blueprint,
) {
    let targets = comptime!(blueprint.targets());
    let by_position = comptime!(blueprint.normalisation == Normalisation::Position);
    let pixels = extent.height * extent.width;
    for i in 0..extent.height {
        for j in 0..extent.width {
            let pixel = i * extent.width + j;
            let at = views.student.at(first + pixel);
            let to = (first + pixel) * extent.channels;
            let mut scale = scales.0;
            if comptime!(by_position) {
                scale = norms[norms_at + pixel];
            }
            let mut from = Array::<usize>::new(targets);
            let mut by = Array::<F>::new(targets);
            #[unroll]
            for g in 0..targets {
                let code = if comptime!(targets == 1) {
                    code
                } else {
                    comptime!(blueprint.code(g)).runtime()
                };
                let there = source(inverse(code), i, j, extent);
                from[g] = views.teacher.at(first + there);
                by[g] = slopes[g] * scales.1;
                if comptime!(by_position) {
                    by[g] = slopes[g] * norms[norms_at + pixels + there];
                }
            }
            let mut along = inner;
            if comptime!(by_position) {
                let mut sum = Vector::<F, N>::new(F::new(0.0f32));
                for v in 0..extent.vectors {
                    let c = channel::<N>(v, extent.channels);
                    let mut a = load::<S, F, B, N>(student, at + c) * Vector::new(scale);
                    let rest = a - target::<S, F, B, N>(teacher, &from, &by, c, targets);
                    if comptime!(blueprint.overlaps) {
                        a *= fresh::<F, N>(v, extent);
                    }
                    sum = fma(a, rest, sum);
                }
                along = factor * sum.vector_sum();
            }
            if comptime!(crate::planted::is("flip_projection")) {
                along = F::new(0.0f32);
            }
            let straight = Vector::<F, N>::new(factor * scale);
            let radial = Vector::<F, N>::new(along * scale);
            for v in 0..extent.vectors {
                let c = channel::<N>(v, extent.channels);
                let a = load::<S, F, B, N>(student, at + c) * Vector::new(scale);
                let rest = a - target::<S, F, B, N>(teacher, &from, &by, c, targets);
                let mut value = rest * straight;
                if comptime!(blueprint.normalisation != Normalisation::None) {
                    value -= a * radial;
                }
                store::<F, F, B, N>(grad, to + c, value);
            }
        }
    }
}

/// `|r|^2` for `r = sum of weights g.a - t`, and `<r, g.a>` for each choice into `products`.
#[cube]
pub(super) fn mixed_residual<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: &Views,
    first: usize,
    extent: &Extent,
    weights: &Array<F>,
    products: &mut Array<F>,
    #[comptime] blueprint: Blueprint,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let columns = comptime!(blueprint.columns());
    // The last one is for the residual itself.
    let sums = comptime!(columns + 1);
    let mut total = Array::<Vector<F, N>>::new(sums);
    #[unroll]
    for g in 0..sums {
        total[g] = zero;
    }
    for i in 0..extent.height {
        let mut row = Array::<Vector<F, N>>::new(sums);
        #[unroll]
        for g in 0..sums {
            row[g] = zero;
        }
        for j in 0..extent.width {
            let at = views.teacher.at(first + i * extent.width + j);
            let mut from = Array::<usize>::new(columns);
            #[unroll]
            for g in 0..columns {
                let code = comptime!(blueprint.code(g)).runtime();
                from[g] = views.student.at(first + source(code, i, j, extent));
            }
            for v in 0..extent.vectors {
                let c = channel::<N>(v, extent.channels);
                let mixed = target::<S, F, B, N>(student, &from, weights, c, columns);
                let mut rest = mixed - load::<S, F, B, N>(teacher, at + c);
                if comptime!(blueprint.overlaps) {
                    rest *= fresh::<F, N>(v, extent);
                }
                #[unroll]
                for g in 0..columns {
                    row[g] = fma(rest, load::<S, F, B, N>(student, from[g] + c), row[g]);
                }
                row[columns] = fma(rest, rest, row[columns]);
            }
        }
        #[unroll]
        for g in 0..sums {
            total[g] += row[g];
        }
    }
    #[unroll]
    for g in 0..columns {
        products[g] = total[g].vector_sum();
    }
    total[columns].vector_sum()
}

/// The gradient of the mixed selection for one sample: `factor (sum of W_k k.a - sum of (w_g + pull_g) g^-1.t)`, where `pull` is
/// `N b_g`, and `W_k` the sum of `w_g w_h` over the pairs with `g^-1 h = k`.
#[cube]
pub(super) fn write_mixed_gradient<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &mut [Vector<F, B>],
    views: &Views,
    first: usize,
    extent: &Extent,
    weights: &Array<F>,
    pull: &Array<F>,
    factor: F,
    #[comptime] blueprint: Blueprint,
) {
    let columns = comptime!(blueprint.columns());
    let mut own = Array::<F>::new(columns);
    let mut other = Array::<F>::new(columns);
    mixed_slopes::<F>(weights, pull, &mut own, &mut other, blueprint);
    for i in 0..extent.height {
        for j in 0..extent.width {
            let to = (first + i * extent.width + j) * extent.channels;
            let mut from = Array::<usize>::new(columns);
            let mut there = Array::<usize>::new(columns);
            #[unroll]
            for g in 0..columns {
                let code = comptime!(blueprint.code(g)).runtime();
                from[g] = views.student.at(first + source(code, i, j, extent));
                there[g] = views
                    .teacher
                    .at(first + source(inverse(code), i, j, extent));
            }
            for v in 0..extent.vectors {
                let c = channel::<N>(v, extent.channels);
                let a = target::<S, F, B, N>(student, &from, &own, c, columns);
                let t = target::<S, F, B, N>(teacher, &there, &other, c, columns);
                store::<F, F, B, N>(grad, to + c, (a - t) * Vector::new(factor));
            }
        }
    }
}
