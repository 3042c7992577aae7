//! What turns rows into the vectors to compare, found by a team.

use super::fused::{Blueprint, centres};
use crate::lanes::load;
use crate::loss::lane_reduce::larger;
use crate::loss::row::{highest, where_finite};
use crate::team::{Team, quad};
use cubecl::prelude::*;

/// Numbers that are reduced at a time.
pub(in crate::loss) type Quad = Const<4>;

/// How a row is seen.
#[derive(CubeType, Clone, Copy)]
pub(super) struct RowTransform<F: Float> {
    /// Of centred rows the mean, of softmaxes the maximum.
    origin: F,
    /// Of centred rows the mean of what the first one leaves.
    rest: F,
}

#[cube]
impl<F: Float> RowTransform<F> {
    /// What is compared of the logits `z`.
    pub fn apply<N: Size>(
        &self,
        z: Vector<F, N>,
        inverse_t: F,
        #[comptime] blueprint: Blueprint,
    ) -> Vector<F, N> {
        let mut seen = z;
        if comptime!(blueprint != Blueprint::Rows) {
            seen -= Vector::new(self.origin);
        }
        if comptime!(blueprint == Blueprint::CentredRows) {
            seen -= Vector::new(self.rest);
        }
        if comptime!(blueprint == Blueprint::Softmaxes) {
            seen = (seen * Vector::new(inverse_t)).exp();
        }
        seen
    }
}

/// The row transforms of both networks.
#[derive(CubeType, Clone, Copy)]
pub(super) struct RowTransforms<F: Float> {
    pub student: RowTransform<F>,
    pub teacher: RowTransform<F>,
}

#[cube]
impl<F: Float> RowTransforms<F> {
    fn new(u_origin: F, u_rest: F, w_origin: F, w_rest: F) -> RowTransforms<F> {
        RowTransforms::<F> {
            student: RowTransform::<F> {
                origin: u_origin,
                rest: u_rest,
            },
            teacher: RowTransform::<F> {
                origin: w_origin,
                rest: w_rest,
            },
        }
    }
}

/// A sample's rows.
#[derive(CubeType, Clone, Copy)]
pub(in crate::loss) struct TeamRow {
    pub start: usize,
    pub vectors: usize,
    pub length: usize,
}

/// The walks that find how both rows are seen.
#[cube]
pub(super) fn row_transforms<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    inverse_t: F,
    #[comptime] blueprint: Blueprint,
) -> RowTransforms<F> {
    if comptime!(blueprint == Blueprint::CentredRows) {
        centred::<S, F, B, N>(student, teacher, row, team)
    } else if comptime!(blueprint == Blueprint::Softmaxes) {
        softened::<S, F, B, N>(student, teacher, row, team, inverse_t)
    } else {
        let zero = F::new(0.0f32);
        RowTransforms::<F>::new(zero, zero, zero, zero)
    }
}

/// The means of both rows, then those of what they leave: the mean of a row far from 0 is rounded by more than its elements may differ.
#[cube]
fn centred<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    row: &TeamRow,
    team: &mut Team<F, Quad>,
) -> RowTransforms<F> {
    let zero = F::new(0.0f32);
    let none = Vector::<F, N>::new(zero);
    let share = F::new(1.0f32) / F::cast_from(row.length);
    let first = sums::<S, F, B, N>(student, teacher, row, team, none, none, none, none);
    let (u_mean, w_mean) = (first.extract(0usize) * share, first.extract(1usize) * share);
    // Equal elements have no direction; what rounding leaves of them would have one.
    let u_level = load::<S, F, B, N>(student, row.start).extract(0usize);
    let w_level = load::<S, F, B, N>(teacher, row.start).extract(0usize);
    let second = sums::<S, F, B, N>(
        student,
        teacher,
        row,
        team,
        Vector::new(u_mean),
        Vector::new(w_mean),
        Vector::new(u_level),
        Vector::new(w_level),
    );
    let (u_rest, w_rest) = (
        second.extract(0usize) * share,
        second.extract(1usize) * share,
    );
    let (u_flat, w_flat) = (
        second.extract(2usize) == zero,
        second.extract(3usize) == zero,
    );
    let (u_mean, u_rest) = centres::<F>(u_flat, u_level, u_mean, u_rest);
    let (w_mean, w_rest) = centres::<F>(w_flat, w_level, w_mean, w_rest);
    RowTransforms::<F>::new(u_mean, u_rest, w_mean, w_rest)
}

/// The sums of both rows less their means, and of their elements' distances to a level.
#[cube]
fn sums<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    u_mean: Vector<F, N>,
    w_mean: Vector<F, N>,
    u_level: Vector<F, N>,
    w_level: Vector<F, N>,
) -> Vector<F, Quad> {
    let zeros = Vector::<F, N>::new(F::new(0.0f32));
    let mut u_sum = zeros;
    let mut w_sum = zeros;
    let mut u_spread = zeros;
    let mut w_spread = zeros;
    let mut v = team.unit;
    while v < row.vectors {
        let mut u_part = zeros;
        let mut w_part = zeros;
        let end = team.block(v, row.vectors);
        while v < end {
            let offset = row.start + v * N::value();
            let u = load::<S, F, B, N>(student, offset);
            let w = load::<S, F, B, N>(teacher, offset);
            u_part += u - u_mean;
            w_part += w - w_mean;
            u_spread += (u - u_level).abs();
            w_spread += (w - w_level).abs();
            v += team.size;
        }
        u_sum += u_part;
        w_sum += w_part;
    }
    team.sum(quad::<F>(
        u_sum.vector_sum(),
        w_sum.vector_sum(),
        u_spread.vector_sum(),
        w_spread.vector_sum(),
    ))
}

/// The maxima of both rows, NaN where a distance between their elements, over the temperature, is infinite.
#[cube]
fn softened<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    inverse_t: F,
) -> RowTransforms<F> {
    let none = Vector::<F, N>::new(F::min_value());
    let mut u_high = none;
    let mut u_low = none;
    let mut w_high = none;
    let mut w_low = none;
    let mut v = team.unit;
    while v < row.vectors {
        let offset = row.start + v * N::value();
        let u = load::<S, F, B, N>(student, offset);
        let w = load::<S, F, B, N>(teacher, offset);
        u_high = larger::<F, N>(u, u_high);
        u_low = larger::<F, N>(-u, u_low);
        w_high = larger::<F, N>(w, w_high);
        w_low = larger::<F, N>(-w, w_low);
        v += team.size;
    }
    let ends = team.max(quad::<F>(
        highest::<F, N>(u_high),
        highest::<F, N>(u_low),
        highest::<F, N>(w_high),
        highest::<F, N>(w_low),
    ));
    let zero = F::new(0.0f32);
    let (u_max, w_max) = (ends.extract(0usize), ends.extract(2usize));
    let u_range = (u_max + ends.extract(1usize)) * inverse_t;
    let w_range = (w_max + ends.extract(3usize)) * inverse_t;
    let u_origin = where_finite::<F>(u_max, u_range);
    let w_origin = where_finite::<F>(w_max, w_range);
    RowTransforms::<F>::new(u_origin, zero, w_origin, zero)
}
