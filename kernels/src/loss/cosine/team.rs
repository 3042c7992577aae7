//! The cosine loss and its gradient on GPUs: a team a sample ([`crate::team`]).
//!
//! **One team owns** a sample. It finds what turns rows into the vectors to compare ([`Lens`]: one walk for softmaxes, two for centred
//! rows), then walks for the norms, for the distance, and for the gradient.
//!
//! **Why this shape.** Every walk sees the logits through the lens again, an exponential or two subtractions, where the CPU's kernel
//! keeps the vectors: two rows of scratch a unit would be as much memory as student and teacher, written and read.

use super::angle::Norms;
use super::fused::{Of, centres};
use crate::lanes::{Lanes, load, store};
use crate::loss::LossAndGrad;
use crate::loss::fold::larger;
use crate::loss::row::{highest, where_finite};
use crate::team::{Team, Teams, quad};
use crate::{DType, Tensor, launch};
use cubecl::prelude::*;

/// Numbers that are reduced at a time.
type Quad = Const<4>;

/// How a row is seen.
#[derive(CubeType, Clone, Copy)]
struct Lens<F: Float> {
    /// Of centred rows the mean, of softmaxes the maximum.
    origin: F,
    /// Of centred rows the mean of what the first one leaves.
    rest: F,
}

#[cube]
impl<F: Float> Lens<F> {
    fn see<N: Size>(&self, z: Vector<F, N>, inverse_t: F, #[comptime] of: Of) -> Vector<F, N> {
        let mut seen = z;
        if comptime!(of != Of::Rows) {
            seen -= Vector::new(self.origin);
        }
        if comptime!(of == Of::CentredRows) {
            seen -= Vector::new(self.rest);
        }
        if comptime!(of == Of::Softmaxes) {
            seen = (seen * Vector::new(inverse_t)).exp();
        }
        seen
    }
}

/// The lenses of both networks.
#[derive(CubeType, Clone, Copy)]
struct Lenses<F: Float> {
    student: Lens<F>,
    teacher: Lens<F>,
}

#[cube]
impl<F: Float> Lenses<F> {
    fn new(u_origin: F, u_rest: F, w_origin: F, w_rest: F) -> Lenses<F> {
        Lenses::<F> {
            student: Lens::<F> {
                origin: u_origin,
                rest: u_rest,
            },
            teacher: Lens::<F> {
                origin: w_origin,
                rest: w_rest,
            },
        }
    }
}

/// A sample's rows.
#[derive(CubeType, Clone, Copy)]
struct Row {
    start: usize,
    vectors: usize,
    length: usize,
}

/// One team owns a sample; `mean` is 1 over the batch.
#[cube(launch_unchecked)]
fn by_teams<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    epsilon: InputScalar,
    inverse_t: InputScalar,
    mean: InputScalar,
    batch: usize,
    length: usize,
    vectors: usize,
    team: usize,
    #[comptime] of: Of,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let zero = F::new(0.0f32);
    let zeros = Vector::<F, N>::new(zero);
    let inverse_t = inverse_t.get::<F>();
    let mut team = Team::<F, Quad>::new(batch, team);
    let row = Row {
        start: team.row * length,
        vectors,
        length,
    };
    let lenses = lenses::<F, B, N>(student, teacher, &row, &mut team, inverse_t, of);
    let mut u_square = zeros;
    let mut w_square = zeros;
    let mut v = team.unit;
    while v < vectors {
        let mut u_part = zeros;
        let mut w_part = zeros;
        let end = team.block(v, vectors);
        while v < end {
            let at = row.start + v * N::value();
            let u = load::<F, B, N>(student, at);
            let w = load::<F, B, N>(teacher, at);
            let u = lenses.student.see::<N>(u, inverse_t, of);
            let w = lenses.teacher.see::<N>(w, inverse_t, of);
            u_part = fma(u, u, u_part);
            w_part = fma(w, w, w_part);
            v += team.size;
        }
        u_square += u_part;
        w_square += w_part;
    }
    let (u_square, w_square) = (u_square.vector_sum(), w_square.vector_sum());
    let squares = team.sum(quad::<F>(u_square, w_square, zero, zero));
    let norms = Norms::<F>::new(
        where_finite::<F>(squares.extract(0usize), squares.extract(0usize)),
        where_finite::<F>(squares.extract(1usize), squares.extract(1usize)),
        epsilon.get::<F>(),
    );
    let ratio = Vector::<F, N>::new(norms.ratio);
    let mut apart = zeros;
    let mut v = team.unit;
    while v < vectors {
        let mut part = zeros;
        let end = team.block(v, vectors);
        while v < end {
            let at = row.start + v * N::value();
            let u = load::<F, B, N>(student, at);
            let w = load::<F, B, N>(teacher, at);
            let u = lenses.student.see::<N>(u, inverse_t, of);
            let w = lenses.teacher.see::<N>(w, inverse_t, of);
            let d = u - w * ratio;
            part = fma(d, d, part);
            v += team.size;
        }
        apart += part;
    }
    let apart = team.sum(quad::<F>(apart.vector_sum(), zero, zero, zero));
    let apart = where_finite::<F>(apart.extract(0usize), apart.extract(0usize));
    let turned = norms.turned(apart, mean.get::<F>());
    if team.leads() {
        loss[team.row] = turned.loss;
    }
    if team.there {
        let mut v = team.unit;
        while v < vectors {
            let at = row.start + v * N::value();
            let u = load::<F, B, N>(student, at);
            let w = load::<F, B, N>(teacher, at);
            let u = lenses.student.see::<N>(u, inverse_t, of);
            let w = lenses.teacher.see::<N>(w, inverse_t, of);
            let mut g = turned.pull::<N>(u, w, ratio);
            if comptime!(of == Of::Softmaxes) {
                g *= u * Vector::new(inverse_t);
            }
            store::<F, B, N>(grad, at, g);
            v += team.size;
        }
    }
}

#[cube]
fn lenses<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    row: &Row,
    team: &mut Team<F, Quad>,
    inverse_t: F,
    #[comptime] of: Of,
) -> Lenses<F> {
    if comptime!(of == Of::CentredRows) {
        centred::<F, B, N>(student, teacher, row, team)
    } else if comptime!(of == Of::Softmaxes) {
        softened::<F, B, N>(student, teacher, row, team, inverse_t)
    } else {
        let zero = F::new(0.0f32);
        Lenses::<F>::new(zero, zero, zero, zero)
    }
}

/// The means of both rows, then those of what they leave: the mean of a row far from 0 is rounded by more than its elements may differ.
#[cube]
fn centred<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    row: &Row,
    team: &mut Team<F, Quad>,
) -> Lenses<F> {
    let zero = F::new(0.0f32);
    let none = Vector::<F, N>::new(zero);
    let share = F::new(1.0f32) / F::cast_from(row.length);
    let first = sums::<F, B, N>(student, teacher, row, team, none, none, none, none);
    let (u_mean, w_mean) = (first.extract(0usize) * share, first.extract(1usize) * share);
    // Equal elements have no direction; what rounding leaves of them would have one.
    let u_level = load::<F, B, N>(student, row.start).extract(0usize);
    let w_level = load::<F, B, N>(teacher, row.start).extract(0usize);
    let second = sums::<F, B, N>(
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
    Lenses::<F>::new(u_mean, u_rest, w_mean, w_rest)
}

/// The sums of both rows less their means, and of their elements' distances to a level.
#[cube]
fn sums<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    row: &Row,
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
            let at = row.start + v * N::value();
            let u = load::<F, B, N>(student, at);
            let w = load::<F, B, N>(teacher, at);
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
fn softened<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    row: &Row,
    team: &mut Team<F, Quad>,
    inverse_t: F,
) -> Lenses<F> {
    let none = Vector::<F, N>::new(F::min_value());
    let mut u_high = none;
    let mut u_low = none;
    let mut w_high = none;
    let mut w_low = none;
    let mut v = team.unit;
    while v < row.vectors {
        let at = row.start + v * N::value();
        let u = load::<F, B, N>(student, at);
        let w = load::<F, B, N>(teacher, at);
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
    Lenses::<F>::new(u_origin, zero, w_origin, zero)
}

/// What a launch multiplies by.
pub(super) struct Scalars {
    pub epsilon: f64,
    pub inverse_t: f64,
}

/// Launches loss and gradient of `batch` rows of `length` elements into `out`, on a device that is no CPU.
pub(super) fn launch_by_teams(
    [batch, length]: [usize; 2],
    dtype: DType,
    of: Of,
    scalars: &Scalars,
    [student, teacher]: [&Tensor; 2],
    out: &LossAndGrad,
) {
    let client = student.client();
    let lanes = Lanes::apart(client, dtype, length, &[student, teacher, &out.grad]);
    let teams = Teams::of(client, batch, lanes.vectors());
    // SAFETY: student, teacher and gradient hold `batch` rows of `length` elements, and teams past the last row write nothing.
    unsafe {
        by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(teacher),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            dtype.scalar(scalars.epsilon),
            dtype.scalar(scalars.inverse_t),
            dtype.scalar(1.0 / batch as f64),
            batch,
            length,
            lanes.vectors(),
            teams.size,
            of,
            dtype.elem(),
        );
    }
    launch::pace(client);
}
