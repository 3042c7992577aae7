//! The three walks of a team over its row.

use super::super::blueprint::Blueprint;
use super::super::finalize::beside;
use super::super::fused::logit;
use super::super::problem::Uses;
use super::super::scratch::Network;
use super::super::terms::{Constants, Samples};
use super::{One, Quad};
use crate::lanes::{load, store};
use crate::loss::decay::{Exponential, decay};
use crate::loss::lane_reduce::{larger, top};
use crate::loss::log_space::divergence_apart;
use crate::loss::row::is_class;
use crate::team::{Team, quad};
use cubecl::prelude::*;

/// A row, as its team walks it.
#[derive(CubeType, Clone, Copy)]
pub(super) struct TeamRow {
    /// The element at which it starts.
    pub start: usize,
    pub vectors: usize,
    pub target: usize,
    /// The second class of a mixed row; of others the target.
    pub second: usize,
}

#[cube]
impl TeamRow {
    /// `value` but in the target's lane of vector `v`, which holds `other`.
    fn counted<F: Float, N: Size>(
        &self,
        v: usize,
        value: Vector<F, N>,
        other: Vector<F, N>,
    ) -> Vector<F, N> {
        select_many(is_class::<N>(v * N::value(), self.target), other, value)
    }
}

/// What a network's logits are taken from.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Extrema<F: Float> {
    pub max: F,
    /// How far the largest non-target logit lies above the least.
    pub range: F,
}

/// Both networks of a pair, with the target's logits.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Ends<F: Float> {
    pub student_max: F,
    pub student_range: F,
    pub z: Vector<F, One>,
    pub teacher_max: F,
    pub teacher_range: F,
    pub v: Vector<F, One>,
}

/// A row's pair of softmaxes.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Softmaxes<F: Float> {
    pub samples: Samples<F, One>,
    pub student_sum: F,
    pub teacher_sum: F,
    /// The teacher's sum over the student's, and its logarithm.
    pub ratio: F,
    pub log_ratio: F,
    /// The gradient's factors of the student's exponentials, and of how far they lie above the teacher's at the teacher's sum.
    pub own: F,
    pub apart: F,
}

/// The first walk, over two networks at a time, whose ends are reduced together.
#[cube]
pub(super) fn extrema<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    #[comptime] networks: Vec<Network>,
) -> Sequence<Extrema<F>> {
    let none = Vector::<F, N>::new(F::min_value());
    let mut found = Sequence::<Extrema<F>>::new();
    #[unroll]
    for i in 0..comptime!(networks.len().div_ceil(2)) {
        let first = comptime!(networks[2 * i]);
        let second = comptime!(networks.get(2 * i + 1).copied());
        let mut first_high = none;
        let mut first_low = none;
        let mut second_high = none;
        let mut second_low = none;
        let mut v = team.unit;
        while v < row.vectors {
            let offset = row.start + v * N::value();
            let z = load::<S, F, B, N>(logits.index(comptime!(first.0)), offset);
            first_high = larger::<F, N>(row.counted::<F, N>(v, z, none), first_high);
            first_low = larger::<F, N>(row.counted::<F, N>(v, -z, none), first_low);
            if comptime!(second.is_some()) {
                let second = comptime!(second.unwrap_or(Network::STUDENT).0);
                let z = load::<S, F, B, N>(logits.index(second), offset);
                second_high = larger::<F, N>(row.counted::<F, N>(v, z, none), second_high);
                second_low = larger::<F, N>(row.counted::<F, N>(v, -z, none), second_low);
            }
            v += team.size;
        }
        let all = team.max(quad::<F>(
            top::<F, N>(first_high).extract(0usize),
            top::<F, N>(first_low).extract(0usize),
            top::<F, N>(second_high).extract(0usize),
            top::<F, N>(second_low).extract(0usize),
        ));
        found.push(Extrema::<F> {
            max: all.extract(0usize),
            range: all.extract(0usize) + all.extract(1usize),
        });
        if comptime!(second.is_some()) {
            found.push(Extrema::<F> {
                max: all.extract(2usize),
                range: all.extract(2usize) + all.extract(3usize),
            });
        }
    }
    found
}

/// The second walk, of one pair, and what its sums say about the target.
#[cube]
pub(super) fn softmaxes<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    ends: &Ends<F>,
    constants: &Constants,
    #[comptime] uses: Uses,
    #[comptime] mixed: bool,
    #[comptime] exponential: Exponential,
) -> Softmaxes<F> {
    let none = Vector::<F, N>::new(F::new(0.0f32));
    let rate = constants.rate.rate.get::<F>();
    let floor = constants.rate.floor.get::<F>();
    let (student_max, teacher_max) = (ends.student_max, ends.teacher_max);
    let mut own = none;
    let mut taught = none;
    let mut distances = none;
    let mut i = team.unit;
    while i < row.vectors {
        let offset = row.start + i * N::value();
        let d = load::<S, F, B, N>(student, offset) - Vector::new(student_max);
        let e = decay::<F, N>(d, rate, floor, exponential);
        own += row.counted::<F, N>(i, e, none);
        if comptime!(uses.cross_entropy.is_some()) {
            distances += row.counted::<F, N>(i, d, none);
        }
        if comptime!(uses.teacher.is_some()) {
            let d = load::<S, F, B, N>(teacher, offset) - Vector::new(teacher_max);
            let e = decay::<F, N>(d, rate, floor, exponential);
            taught += row.counted::<F, N>(i, e, none);
        }
        i += team.size;
    }
    let zero = F::new(0.0f32);
    let sums = team.sum(quad::<F>(
        own.vector_sum(),
        taught.vector_sum(),
        distances.vector_sum(),
        zero,
    ));
    let inverse_t = Vector::<F, One>::new(constants.inverse_t.get::<F>());
    let distances = Vector::<F, One>::new(sums.extract(2usize));
    let distance = (ends.z - Vector::new(student_max)) * inverse_t;
    let range = Vector::new(ends.student_range) * inverse_t;
    let mut student_sum = Vector::<F, One>::new(sums.extract(0usize));
    student_sum = beside::<F, One>(student_sum, distance);
    student_sum = beside::<F, One>(student_sum, range);
    student_sum = beside::<F, One>(student_sum, distances * inverse_t);
    let log_sum = student_sum.ln();
    let student_odds = distance - log_sum;
    let mut teacher_sum = Vector::<F, One>::new(F::new(1.0f32));
    let mut teacher_odds = student_odds;
    if comptime!(uses.teacher.is_some()) {
        let distance = (ends.v - Vector::new(teacher_max)) * inverse_t;
        let range = Vector::new(ends.teacher_range) * inverse_t;
        teacher_sum = Vector::new(sums.extract(1usize));
        teacher_sum = beside::<F, One>(teacher_sum, distance);
        teacher_sum = beside::<F, One>(teacher_sum, range);
        teacher_odds = distance - teacher_sum.ln();
    }
    let ratio = teacher_sum / student_sum;
    let mut second = Vector::<F, One>::new(zero);
    let mut share = Vector::<F, One>::new(zero);
    if comptime!(mixed && uses.cross_entropy.is_some()) {
        if row.second != row.target {
            let z = logit::<S, F, B, One>(student, row.start + row.second);
            second = z - Vector::new(student_max);
            share = Vector::new(constants.share.get::<F>());
        }
    }
    Softmaxes::<F> {
        samples: Samples::<F, One> {
            student_odds,
            teacher_odds,
            log_sum,
            distances,
            divergence: Vector::new(zero),
            second,
            share,
        },
        student_sum: student_sum.extract(0usize),
        teacher_sum: teacher_sum.extract(0usize),
        ratio: ratio.extract(0usize),
        log_ratio: ratio.ln().extract(0usize),
        own: zero,
        apart: zero,
    }
}

/// Numbers of a row that are reduced together.
const TOGETHER: usize = 4;

/// The third walk: writes the gradient and returns the divergence of each pair, times the teacher's sum.
#[cube]
pub(super) fn gradient<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    grad: &mut [Vector<F, B>],
    row: &TeamRow,
    team: &mut Team<F, Quad>,
    extrema: &Sequence<Extrema<F>>,
    slopes: &Sequence<Softmaxes<F>>,
    constants: &Sequence<Constants>,
    at_target: F,
    at_second: F,
    even: F,
    #[comptime] blueprint: Blueprint,
) -> Sequence<F> {
    let none = Vector::<F, N>::new(F::new(0.0f32));
    let zeros = Vector::<F, Quad>::new(F::new(0.0f32));
    let exponential = comptime!(blueprint.exponential);
    let networks = comptime!(blueprint.networks());
    let pairs = comptime!(blueprint.uses.len());
    let fours = comptime!(pairs.div_ceil(TOGETHER));
    let mut divergences = Array::<Vector<F, Quad>>::new(comptime!(fours.max(1)));
    #[unroll]
    for four in 0..fours {
        divergences[four] = zeros;
    }
    let mut v = team.unit;
    while v < row.vectors {
        let offset = row.start + v * N::value();
        let mut distances = Sequence::<Vector<F, N>>::new();
        #[unroll]
        for i in 0..comptime!(networks.len()) {
            let logits = logits.index(comptime!(networks[i].0));
            distances.push(load::<S, F, B, N>(logits, offset) - Vector::new(extrema.index(i).max));
        }
        let mut g = Vector::<F, N>::new(even);
        #[unroll]
        for t in 0..pairs {
            let slope = slopes.index(t);
            let term = constants.index(t);
            let rate = term.rate.rate.get::<F>();
            let floor = term.rate.floor.get::<F>();
            let d = *distances.index(0usize);
            let e = decay::<F, N>(d, rate, floor, exponential);
            g = fma(e, Vector::new(slope.own), g);
            if comptime!(blueprint.uses[t].teacher.is_some()) {
                let network = comptime!(blueprint.uses[t].network());
                let place = comptime!(networks.iter().position(|&n| n == network).unwrap_or(0));
                let teacher_d = *distances.index(place);
                let q = decay::<F, N>(teacher_d, rate, floor, exponential);
                // The maxima went first: the logits may share an offset that would round the difference of the networks.
                let r = fma(
                    d - teacher_d,
                    Vector::new(term.inverse_t.get::<F>()),
                    Vector::new(slope.log_ratio),
                );
                let apart = fma(e, Vector::new(slope.ratio), -q);
                g = fma(apart, Vector::new(slope.apart), g);
                let found = divergence_apart::<F, N>(q, apart, r, comptime!(blueprint.terms));
                let found = row.counted::<F, N>(v, found, none).vector_sum();
                let (four, lane) = comptime!((t / TOGETHER, t % TOGETHER));
                let mut sums = divergences[four];
                sums.insert(lane, sums.extract(lane) + found);
                divergences[four] = sums;
            }
        }
        if comptime!(blueprint.mixed) {
            let is_second = is_class::<N>(v * N::value(), row.second);
            g += select_many(is_second, Vector::new(at_second), none);
        }
        if team.there {
            store::<F, F, B, N>(
                grad,
                offset,
                row.counted::<F, N>(v, g, Vector::new(at_target)),
            );
        }
        v += team.size;
    }
    let mut all = Sequence::<F>::new();
    #[unroll]
    for four in 0..fours {
        let sums = team.sum(divergences[four]);
        #[unroll]
        for lane in 0..comptime!(TOGETHER.min(pairs - four * TOGETHER)) {
            all.push(sums.extract(lane));
        }
    }
    all
}
