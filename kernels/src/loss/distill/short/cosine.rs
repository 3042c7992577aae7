//! A cosine of rows of few classes, one row a lane: the formulas of [`cosine`](crate::loss::cosine), summed class by class.
//!
//! Logits are gathered again for each walk, and seen through what turns rows into vectors: at fewer classes than two vectors have lanes
//! they are in the first cache.

use super::super::finalize::beside;
use crate::loss::cosine::angle::{Norms, Scalars};
use crate::loss::cosine::fused::Blueprint;
use crate::loss::lane_reduce::larger;
use crate::row_per_lane::RowPerLane;
use cubecl::prelude::*;

/// How the rows of a network are seen, one row a lane.
#[derive(CubeType, Clone, Copy)]
struct RowTransform<F: Float, N: Size> {
    /// Of centred rows the mean, of softmaxes the maximum.
    origin: Vector<F, N>,
    /// Of centred rows the mean of what the first one leaves.
    rest: Vector<F, N>,
    inverse_t: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> RowTransform<F, N> {
    fn new<S: Float, B: Size>(
        logits: &[Vector<S, B>],
        rows: &RowPerLane<N>,
        inverse_t: F,
        #[comptime] blueprint: Blueprint,
    ) -> RowTransform<F, N> {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        let inverse_t = Vector::<F, N>::new(inverse_t);
        let mut origin = zero;
        let mut rest = zero;
        if comptime!(blueprint == Blueprint::CentredRows) {
            let share = Vector::<F, N>::new(F::new(1.0f32) / F::cast_from(rows.length));
            let level = rows.load::<S, F, B>(logits, 0usize);
            let mut sum = zero;
            for class in 0..rows.length {
                sum += rows.load::<S, F, B>(logits, class);
            }
            let mean = sum * share;
            let mut left = zero;
            let mut spread = zero;
            for class in 0..rows.length {
                let z = rows.load::<S, F, B>(logits, class);
                left += z - mean;
                spread += (z - level).abs();
            }
            // Equal elements have no direction; what rounding leaves of them would have one.
            let flat = spread.equal(&zero);
            origin = select_many(flat, level, mean);
            rest = select_many(flat, zero, left * share);
        }
        if comptime!(blueprint == Blueprint::Softmaxes) {
            let mut high = rows.load::<S, F, B>(logits, 0usize);
            let mut low = -high;
            for class in 1..rows.length {
                let z = rows.load::<S, F, B>(logits, class);
                high = larger::<F, N>(z, high);
                low = larger::<F, N>(-z, low);
            }
            origin = beside::<F, N>(high, (high + low) * inverse_t);
        }
        RowTransform::<F, N> {
            origin,
            rest,
            inverse_t,
        }
    }

    /// What is compared of the logits `z`.
    fn apply(&self, z: Vector<F, N>, #[comptime] blueprint: Blueprint) -> Vector<F, N> {
        let mut seen = z;
        if comptime!(blueprint == Blueprint::CentredRows) {
            seen = (z - self.origin) - self.rest;
        }
        if comptime!(blueprint == Blueprint::Softmaxes) {
            seen = ((z - self.origin) * self.inverse_t).exp();
        }
        seen
    }
}

/// Adds the gradient of the rows' cosines, times `by`, to what is there, and returns their losses.
#[cube]
pub(super) fn add_cosine<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &mut [Vector<F, B>],
    rows: &RowPerLane<N>,
    scalars: &Scalars,
    by: Vector<F, N>,
    #[comptime] blueprint: Blueprint,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let inverse_t = scalars.inverse_t.get::<F>();
    let of_student = RowTransform::<F, N>::new::<S, B>(student, rows, inverse_t, blueprint);
    let of_teacher = RowTransform::<F, N>::new::<S, B>(teacher, rows, inverse_t, blueprint);
    let mut u_square = zero;
    let mut w_square = zero;
    for class in 0..rows.length {
        let u = of_student.apply(rows.load::<S, F, B>(student, class), blueprint);
        let w = of_teacher.apply(rows.load::<S, F, B>(teacher, class), blueprint);
        u_square = fma(u, u, u_square);
        w_square = fma(w, w, w_square);
    }
    let norms = Norms::<F, N>::new(
        beside::<F, N>(u_square, u_square),
        beside::<F, N>(w_square, w_square),
        scalars.epsilon.get::<F>(),
    );
    let mut apart = zero;
    for class in 0..rows.length {
        let u = of_student.apply(rows.load::<S, F, B>(student, class), blueprint);
        let w = of_teacher.apply(rows.load::<S, F, B>(teacher, class), blueprint);
        let d = u - w * norms.ratio;
        apart = fma(d, d, apart);
    }
    let weight = by * Vector::new(scalars.weight.get::<F>());
    let turned = norms.turned(beside::<F, N>(apart, apart), weight);
    for class in 0..rows.length {
        let u = of_student.apply(rows.load::<S, F, B>(student, class), blueprint);
        let w = of_teacher.apply(rows.load::<S, F, B>(teacher, class), blueprint);
        let mut g = turned.pull(u, w);
        if comptime!(blueprint == Blueprint::Softmaxes) {
            g *= u * Vector::new(inverse_t);
        }
        // All lanes are read before one is written: those that stand for the last row again add to it once.
        let there = rows.load::<F, F, B>(&*grad, class);
        rows.store::<F, F, B>(grad, class, there + g);
    }
    turned.loss
}
