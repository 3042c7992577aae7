use super::Normalisation;
use super::maps::{Blueprint, Extent, Views, fresh, inverse, source};
use crate::lanes::{channel, load};
use cubecl::prelude::*;

/// The sums of squared differences of a sample's student map and of the teacher's maps under the inverses of all choices, or of
/// the `given` transform, into `sums`.
///
/// `scales` are the multipliers of both maps; under the norm per position, `norms` holds them, the student's from `norms_at` on and
/// the teacher's behind them.
#[cube]
pub(super) fn squared_distances<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: &Views,
    first: usize,
    extent: &Extent,
    scales: (F, F),
    norms: &mut [F],
    norms_at: usize,
    given: u32,
    sums: &mut Array<F>,
    #[comptime] blueprint: Blueprint,
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let columns = comptime!(blueprint.columns());
    let by_position = comptime!(blueprint.normalisation == Normalisation::Position);
    let pixels = extent.height * extent.width;
    let mut total = Array::<Vector<F, N>>::new(columns);
    #[unroll]
    for g in 0..columns {
        total[g] = zero;
    }
    for i in 0..extent.height {
        let mut row = Array::<Vector<F, N>>::new(columns);
        #[unroll]
        for g in 0..columns {
            row[g] = zero;
        }
        for j in 0..extent.width {
            let pixel = i * extent.width + j;
            let at = views.student.at(first + pixel);
            let mut scale = Vector::<F, N>::new(scales.0);
            if comptime!(by_position) {
                scale = Vector::new(norms[norms_at + pixel]);
            }
            let mut from = Array::<usize>::new(columns);
            let mut by = Array::<Vector<F, N>>::new(columns);
            #[unroll]
            for g in 0..columns {
                let code = if comptime!(blueprint.choices.is_some()) {
                    comptime!(blueprint.code(g)).runtime()
                } else {
                    given
                };
                let there = source(inverse(code), i, j, extent);
                from[g] = views.teacher.at(first + there);
                by[g] = Vector::new(scales.1);
                if comptime!(by_position) {
                    by[g] = Vector::new(norms[norms_at + pixels + there]);
                }
            }
            for v in 0..extent.vectors {
                let c = channel::<N>(v, extent.channels);
                let a = load::<S, F, B, N>(student, at + c) * scale;
                let mut counted = zero;
                if comptime!(blueprint.overlaps) {
                    counted = fresh::<F, N>(v, extent);
                }
                #[unroll]
                for g in 0..columns {
                    let mut difference = a - load::<S, F, B, N>(teacher, from[g] + c) * by[g];
                    if comptime!(blueprint.overlaps) {
                        difference *= counted;
                    }
                    row[g] = fma(difference, difference, row[g]);
                }
            }
        }
        #[unroll]
        for g in 0..columns {
            total[g] += row[g];
        }
    }
    #[unroll]
    for g in 0..columns {
        sums[g] = total[g].vector_sum();
    }
}
