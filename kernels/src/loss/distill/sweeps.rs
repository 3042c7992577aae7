//! Walks over one block of a row. A walk visits every class but the target once; it reads whole vectors, and looks at single lanes
//! only in the vector that holds the target and in the last one, which overlaps its neighbour where the classes are no multiple of
//! a vector.

use super::decay::{Exponential, decay};
use super::terms::Constants;
use crate::lanes::{load, store};
use crate::loss::log_space;
use crate::special::nan;
use cubecl::prelude::*;

/// The block of a row that a walk covers. Vectors are counted from the row's first class on.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Block {
    /// The element at which the row starts.
    pub start: usize,
    pub classes: usize,
    pub target: usize,
    /// The block's first whole vector.
    pub first: usize,
    /// Past its last whole vector.
    pub last: usize,
    /// The whole vector that holds the target, or `last`.
    pub with_target: usize,
    /// Whether the row's classes past its last whole vector are in this block.
    pub tail: bool,
}

#[cube]
impl Block {
    /// The first of the two vectors with special lanes to visit: 0 is the target's, 1 the tail.
    fn special(&self) -> usize {
        select(self.with_target < self.last, 0usize, 1usize)
    }

    fn specials(&self) -> usize {
        select(self.tail, 2usize, 1usize)
    }

    /// The bounds of the whole vectors before (0) and behind (1) the target's.
    fn side(&self, side: usize) -> (usize, usize) {
        (
            select(side == 0, self.first, self.with_target + 1),
            select(side == 0, self.with_target, self.last),
        )
    }

    /// The first class of a vector with special lanes.
    fn class<N: Size>(&self, special: usize) -> usize {
        select(
            special == 0,
            self.with_target * N::value(),
            self.classes - N::value(),
        )
    }

    /// Where a vector with special lanes lies among the row's kept values.
    fn kept(&self, special: usize) -> usize {
        select(special == 0, self.with_target, self.last)
    }

    /// Which lanes of a special vector are to be counted: not the target, nor what a whole vector counted already.
    fn counted<N: Size>(&self, special: usize) -> Vector<bool, N> {
        let class = self.class::<N>(special);
        let before = select(special == 0, 0usize, self.last * N::value() - class);
        let lanes = lanes::<N>();
        let target = Vector::<u32, N>::new(u32::cast_from(self.target) - u32::cast_from(class));
        // A lane that is not counted becomes one that no class has.
        let counted = select_many(
            lanes.less_than(&Vector::new(u32::cast_from(before))),
            target,
            lanes,
        );
        counted.not_equal(&target)
    }
}

/// 0, 1, 2, ...
#[cube]
fn lanes<N: Size>() -> Vector<u32, N> {
    let mut lanes = Vector::<u32, N>::new(0u32);
    #[unroll]
    for lane in 0..N::value() {
        lanes.insert(lane, u32::cast_from(lane));
    }
    lanes
}

/// The largest of a block's non-target logits; a NaN is none.
#[cube]
pub(super) fn largest<F: Float, B: Size, N: Size>(logits: &[Vector<F, B>], block: &Block) -> F {
    let mut max = Vector::<F, N>::new(F::min_value());
    for side in 0..2usize {
        let (first, last) = block.side(side);
        // Four vectors at a time: a running maximum waits for the one before, so that single vectors would take twice as long.
        let mut i = first;
        while i + 4 <= last {
            let at = block.start + i * N::value();
            let a = load::<F, B, N>(logits, at);
            let b = load::<F, B, N>(logits, at + N::value());
            let c = load::<F, B, N>(logits, at + 2 * N::value());
            let d = load::<F, B, N>(logits, at + 3 * N::value());
            max = larger::<F, N>(
                larger::<F, N>(larger::<F, N>(a, b), larger::<F, N>(c, d)),
                max,
            );
            i += 4;
        }
        for j in i..last {
            let z = load::<F, B, N>(logits, block.start + j * N::value());
            max = larger::<F, N>(z, max);
        }
    }
    for special in block.special()..block.specials() {
        let z = load::<F, B, N>(logits, block.start + block.class::<N>(special));
        let counted = block.counted::<N>(special);
        max = select_many(counted, larger::<F, N>(z, max), max);
    }
    top::<F>(&scalars::<F, N>(max), 0usize, N::value().comptime())
}

#[cube]
fn larger<F: Float, N: Size>(a: Vector<F, N>, b: Vector<F, N>) -> Vector<F, N> {
    select_many(a.greater_than(&b), a, b)
}

#[cube]
fn scalars<F: Float, N: Size>(vector: Vector<F, N>) -> Sequence<F> {
    let mut scalars = Sequence::<F>::new();
    #[unroll]
    for lane in 0..N::value() {
        scalars.push(vector.extract(lane));
    }
    scalars
}

/// The largest of `count` lanes, pair by pair: one by one, each would wait for the one before.
#[cube]
fn top<F: Float>(lanes: &Sequence<F>, #[comptime] first: usize, #[comptime] count: usize) -> F {
    if comptime!(count == 1) {
        *lanes.index(first)
    } else {
        let half = comptime!(count / 2);
        let a = top::<F>(lanes, first, half);
        let b = top::<F>(lanes, comptime!(first + half), comptime!(count - half));
        select(a > b, a, b)
    }
}

/// The sum of `count` lanes, pair by pair.
#[cube]
fn total<F: Float>(lanes: &Sequence<F>, #[comptime] first: usize, #[comptime] count: usize) -> F {
    if comptime!(count == 1) {
        *lanes.index(first)
    } else {
        let half = comptime!(count / 2);
        total::<F>(lanes, first, half)
            + total::<F>(lanes, comptime!(first + half), comptime!(count - half))
    }
}

/// Sums over a block's non-target classes.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Sums<F: Float> {
    /// Of `exp((z - max) / T)`; NaN where a logit is a NaN, or infinitely far from the maximum.
    pub exponentials: F,
    /// Of `z - max`.
    pub distances: F,
}

/// Keeps `exp((z - max) / T)` of every class, from `at` on, and sums it.
#[cube]
pub(super) fn exponentials<F: Float, B: Size, N: Size>(
    logits: &[Vector<F, B>],
    kept: &mut [Vector<F, N>],
    at: usize,
    block: &Block,
    max: F,
    constants: &Constants,
    #[comptime] exponential: Exponential,
    #[comptime] with_distances: bool,
) -> Sums<F> {
    let rate = constants.rate.rate.get::<F>();
    let floor = constants.rate.floor.get::<F>();
    let max = Vector::<F, N>::new(max);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = zero;
    let mut distances = zero;
    for side in 0..2usize {
        let (first, last) = block.side(side);
        for i in first..last {
            let d = load::<F, B, N>(logits, block.start + i * N::value()) - max;
            let e = decay::<F, N>(d, rate, floor, exponential);
            kept[at + i] = e;
            sum += e;
            distances += d;
        }
    }
    for special in block.special()..block.specials() {
        let d = load::<F, B, N>(logits, block.start + block.class::<N>(special)) - max;
        let e = decay::<F, N>(d, rate, floor, exponential);
        kept[at + block.kept(special)] = e;
        let counted = block.counted::<N>(special);
        sum += select_many(counted, e, zero);
        distances += select_many(counted, d, zero);
    }
    // An infinite distance has left its mark in the sum of all; a NaN is in both sums.
    let reach = (distances * Vector::new(constants.inverse_t.get::<F>())).abs();
    let near = reach.less_equal(&Vector::new(F::max_value()));
    let sum = select_many(near, sum, Vector::new(nan::<F>()));
    let mut distance = F::new(0.0f32);
    if comptime!(with_distances) {
        distance = total::<F>(&scalars::<F, N>(distances), 0usize, N::value().comptime());
    }
    Sums::<F> {
        exponentials: total::<F>(&scalars::<F, N>(sum), 0usize, N::value().comptime()),
        distances: distance,
    }
}

/// Two networks' softmaxes over the non-target classes of one block.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Pair<F: Float> {
    pub student_max: F,
    pub teacher_max: F,
    pub inverse_t: F,
    /// The logarithm of the student's sum of exponentials over the teacher's.
    pub log_ratio: F,
    /// The teacher's sum over the student's.
    pub ratio: F,
}

/// The divergence of the two softmaxes, times the teacher's sum.
#[cube]
pub(super) fn divergence<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    kept: &[Vector<F, N>],
    student_at: usize,
    teacher_at: usize,
    block: &Block,
    pair: &Pair<F>,
    #[comptime] terms: usize,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = zero;
    for side in 0..2usize {
        let (first, last) = block.side(side);
        for i in first..last {
            let z = load::<F, B, N>(student, block.start + i * N::value());
            let v = load::<F, B, N>(teacher, block.start + i * N::value());
            let (e_s, e_t) = (kept[student_at + i], kept[teacher_at + i]);
            sum += share::<F, N>(z, v, e_s, e_t, pair, terms);
        }
    }
    for special in block.special()..block.specials() {
        let start = block.start + block.class::<N>(special);
        let z = load::<F, B, N>(student, start);
        let v = load::<F, B, N>(teacher, start);
        let i = block.kept(special);
        let (e_s, e_t) = (kept[student_at + i], kept[teacher_at + i]);
        let share = share::<F, N>(z, v, e_s, e_t, pair, terms);
        sum += select_many(block.counted::<N>(special), share, zero);
    }
    total::<F>(&scalars::<F, N>(sum), 0usize, N::value().comptime())
}

/// One vector's shares of the divergence, times the teacher's sum.
#[cube]
fn share<F: Float, N: Size>(
    z: Vector<F, N>,
    v: Vector<F, N>,
    e_s: Vector<F, N>,
    e_t: Vector<F, N>,
    pair: &Pair<F>,
    #[comptime] terms: usize,
) -> Vector<F, N> {
    // The maxima go first: the logits may share an offset that would round the difference of the networks.
    let apart = (z - Vector::new(pair.student_max)) - (v - Vector::new(pair.teacher_max));
    let r = fma(
        apart,
        Vector::new(pair.inverse_t),
        Vector::new(-pair.log_ratio),
    );
    log_space::divergence::<F, N>(e_t, e_s * Vector::new(pair.ratio), r, terms)
}

/// How one temperature's kept exponentials enter the gradient of a block.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Slope<F: Float> {
    /// Multiplies the student's.
    pub own: F,
    /// Multiplies the difference of the networks' exponentials, after each was multiplied by its share.
    pub apart: F,
    /// The larger of the two shares is 1, so that the difference of equal networks is 0 whether or not a product is rounded before
    /// it is subtracted.
    pub student_share: F,
    pub teacher_share: F,
    /// Where the exponentials were kept.
    pub student_at: usize,
    pub teacher_at: usize,
}

#[cube]
fn slope<F: Float, N: Size>(
    kept: &[Vector<F, N>],
    i: usize,
    slopes: &Sequence<Slope<F>>,
    even: F,
    #[comptime] taught: Vec<bool>,
) -> Vector<F, N> {
    let mut sum = Vector::<F, N>::new(even);
    #[unroll]
    for t in 0..comptime!(taught.len()) {
        let slope = slopes.index(t);
        let e_s = kept[slope.student_at + i];
        sum = fma(e_s, Vector::new(slope.own), sum);
        if comptime!(taught[t]) {
            let e_t = kept[slope.teacher_at + i] * Vector::new(slope.teacher_share);
            let apart = fma(e_s, Vector::new(slope.student_share), -e_t);
            sum = fma(apart, Vector::new(slope.apart), sum);
        }
    }
    sum
}

/// Writes the gradient of a block: `at_target` at the target, elsewhere the slopes of all temperatures and `even`.
#[cube]
pub(super) fn gradient<F: Float, B: Size, N: Size>(
    kept: &[Vector<F, N>],
    grad: &mut [Vector<F, B>],
    block: &Block,
    slopes: &Sequence<Slope<F>>,
    at_target: F,
    even: F,
    #[comptime] taught: Vec<bool>,
) {
    for i in block.first..block.last {
        let g = slope::<F, N>(kept, i, slopes, even, comptime!(taught.clone()));
        store::<F, B, N>(grad, block.start + i * N::value(), g);
    }
    for special in block.special()..block.specials() {
        let class = block.class::<N>(special);
        let i = block.kept(special);
        let g = slope::<F, N>(kept, i, slopes, even, comptime!(taught.clone()));
        let target = Vector::<u32, N>::new(u32::cast_from(block.target) - u32::cast_from(class));
        let g = select_many(lanes::<N>().equal(&target), Vector::new(at_target), g);
        store::<F, B, N>(grad, block.start + class, g);
    }
}
