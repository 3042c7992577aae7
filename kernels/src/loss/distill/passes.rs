//! Walks over one segment of a row. The first two look at logits and leave the target out, and what a row's tail shares with its
//! neighbour; what they keep of such lanes is 0, so that the walks behind them need not ask.

use super::scratch::ScratchLayout;
use super::segment::Segment;
use super::terms::Constants;
use crate::lanes::{load, store};
use crate::loss::decay::{Exponential, decay};
use crate::loss::lane_reduce::{larger, top, total};
use crate::loss::log_space::divergence_apart;
use crate::loss::row::lane_numbers;
use crate::special::nan;
use cubecl::prelude::*;

/// The largest of a segment's non-target logits, in all lanes; a NaN is none.
#[cube]
pub(super) fn largest<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    segment: &Segment,
) -> Vector<F, N> {
    let mut max = Vector::<F, N>::new(F::min_value());
    for side in 0..2usize {
        let (first, last) = segment.side(side);
        // Four vectors at a time: a running maximum waits for the one before, so that single vectors would take twice as long.
        let mut i = first;
        while i + 4 <= last {
            let layout = segment.start + i * N::value();
            let a = load::<S, F, B, N>(logits, layout);
            let b = load::<S, F, B, N>(logits, layout + N::value());
            let c = load::<S, F, B, N>(logits, layout + 2 * N::value());
            let d = load::<S, F, B, N>(logits, layout + 3 * N::value());
            max = larger::<F, N>(
                larger::<F, N>(larger::<F, N>(a, b), larger::<F, N>(c, d)),
                max,
            );
            i += 4;
        }
        for j in i..last {
            let z = load::<S, F, B, N>(logits, segment.start + j * N::value());
            max = larger::<F, N>(z, max);
        }
    }
    for special in 0..segment.specials() {
        let i = segment.special(special);
        let z = load::<S, F, B, N>(logits, segment.start + segment.class::<N>(i));
        max = select_many(segment.counted::<N>(i), larger::<F, N>(z, max), max);
    }
    top::<F, N>(max)
}

/// Elements between a logit whose exponential is taken and the one that is fetched meanwhile.
const AHEAD: usize = 1024;

/// What a walk over exponentials is to find beside the student's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Wanted {
    pub exponential: Exponential,
    /// This teacher's.
    pub teacher: Option<usize>,
    /// The sum of the student's distances to its maximum.
    pub distances: bool,
    /// The distances between the networks, which the teacher's other pairs share.
    pub apart: bool,
    /// Whether to fetch the logits behind, and the lines that a row's gradient is to be written to.
    pub ahead: bool,
}

/// Sums over a segment's non-target classes, in all lanes.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Sums<F: Float, N: Size> {
    /// Of `exp((z - max) / T)`; where distances are wanted, NaN if one of them is infinite.
    pub student: Vector<F, N>,
    pub teacher: Vector<F, N>,
    /// Of `z - max`.
    pub distances: Vector<F, N>,
    /// What was fetched: a number without a meaning.
    pub fetched: u32,
}

/// Where a walk reads and keeps, and what it takes from every logit.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Operands<F: Float, N: Size> {
    pub student_at: usize,
    pub teacher_at: usize,
    pub apart_at: usize,
    pub student_max: Vector<F, N>,
    pub teacher_max: Vector<F, N>,
    pub rate: F,
    pub floor: F,
}

/// Keeps `exp((z - max) / T)` of every class and network, and sums it.
#[cube]
pub(super) fn exponentials<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &[Vector<F, B>],
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    segment: &Segment,
    student_max: Vector<F, N>,
    teacher_max: Vector<F, N>,
    constants: &Constants,
    #[comptime] t: usize,
    #[comptime] wanted: Wanted,
) -> Sums<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let walk = Operands::<F, N> {
        student_at: layout.student(segment.row, t),
        teacher_at: layout.teacher(segment.row, t),
        apart_at: layout.distances(segment.row, comptime!(wanted.teacher.unwrap_or(0))),
        student_max,
        teacher_max,
        rate: constants.rate.rate.get::<F>(),
        floor: constants.rate.floor.get::<F>(),
    };
    let mut sums = Sums::<F, N> {
        student: zero,
        teacher: zero,
        distances: zero,
        fetched: 0u32.runtime(),
    };
    for side in 0..2usize {
        let (first, last) = segment.side(side);
        for i in first..last {
            let found = step::<S, F, B, N>(
                student,
                teacher,
                grad,
                scratch,
                segment,
                &walk,
                i,
                i * N::value(),
                false,
                wanted,
            );
            sums.student += found.student;
            sums.teacher += found.teacher;
            sums.distances += found.distances;
            sums.fetched += found.fetched;
        }
    }
    for special in 0..segment.specials() {
        let i = segment.special(special);
        let class = segment.class::<N>(i);
        let found = step::<S, F, B, N>(
            student, teacher, grad, scratch, segment, &walk, i, class, true, wanted,
        );
        sums.student += found.student;
        sums.teacher += found.teacher;
        sums.distances += found.distances;
        sums.fetched += found.fetched;
    }
    let mut own = sums.student;
    let mut distances = zero;
    if comptime!(wanted.distances) {
        let reach = (sums.distances * Vector::new(constants.inverse_t.get::<F>())).abs();
        let near = reach.less_equal(&Vector::new(F::max_value()));
        own = select_many(near, own, Vector::new(nan::<F>()));
        distances = total::<F, N>(sums.distances);
    }
    let mut taught = zero;
    if comptime!(wanted.teacher.is_some()) {
        taught = total::<F, N>(sums.teacher);
    }
    Sums::<F, N> {
        student: total::<F, N>(own),
        teacher: taught,
        distances,
        fetched: sums.fetched,
    }
}

/// Vector `i` of [`exponentials`], which starts at `class`.
#[cube]
fn step<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &[Vector<F, B>],
    scratch: &mut [Vector<F, N>],
    segment: &Segment,
    walk: &Operands<F, N>,
    i: usize,
    class: usize,
    #[comptime] special: bool,
    #[comptime] wanted: Wanted,
) -> Sums<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let exponential = comptime!(wanted.exponential);
    let mut d = load::<S, F, B, N>(student, segment.start + class) - walk.student_max;
    let mut e = decay::<F, N>(d, walk.rate, walk.floor, exponential);
    let mut taught = zero;
    let mut apart = zero;
    if comptime!(wanted.teacher.is_some()) {
        let teacher_d = load::<S, F, B, N>(teacher, segment.start + class) - walk.teacher_max;
        taught = decay::<F, N>(teacher_d, walk.rate, walk.floor, exponential);
        // The maxima went first: the logits may share an offset that would round the difference of the networks.
        apart = d - teacher_d;
    }
    if comptime!(special) {
        let counted = segment.counted::<N>(i);
        d = select_many(counted, d, zero);
        e = select_many(counted, e, zero);
        taught = select_many(counted, taught, zero);
        apart = select_many(counted, apart, zero);
    }
    scratch[walk.student_at + i] = e;
    if comptime!(wanted.teacher.is_some()) {
        scratch[walk.teacher_at + i] = taught;
    }
    if comptime!(wanted.apart) {
        scratch[walk.apart_at + i - segment.first] = apart;
    }
    let mut fetched = 0u32.runtime();
    if comptime!(wanted.ahead) {
        let index = min(segment.start + class + AHEAD, segment.all - 1);
        let behind = select(segment.split, segment.start, segment.start + class);
        fetched = fetch::<S, B>(student, index) + fetch::<F, B>(grad, behind);
        if comptime!(wanted.teacher.is_some()) {
            fetched += fetch::<S, B>(teacher, index);
        }
    }
    Sums::<F, N> {
        student: e,
        teacher: taught,
        distances: d,
        fetched,
    }
}

/// Reads one element with an instruction that takes no vector's turn.
#[cube]
fn fetch<S: Float, B: Size>(x: &[Vector<S, B>], index: usize) -> u32 {
    u32::reinterpret(x[index / B::value()].extract(0usize))
}

/// The divergence of the two softmaxes of a segment, times the teacher's sum, in all lanes; infinite or NaN where a logit of either
/// network is not finite. What is kept of the teacher becomes how far the student's softmax lies above the teacher's, times the
/// teacher's sum: the gradient is made of it.
#[cube]
pub(super) fn divergence<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    segment: &Segment,
    inverse_t: F,
    ratio: F,
    log_ratio: F,
    #[comptime] t: usize,
    #[comptime] of_teacher: usize,
    #[comptime] terms: usize,
) -> Vector<F, N> {
    let student_at = layout.student(segment.row, t);
    let teacher_at = layout.teacher(segment.row, t);
    let apart_at = layout.distances(segment.row, of_teacher);
    let inverse_t = Vector::<F, N>::new(inverse_t);
    let ratio = Vector::<F, N>::new(ratio);
    let log_ratio = Vector::<F, N>::new(log_ratio);
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for i in segment.first..segment.end() {
        let q = scratch[teacher_at + i];
        let r = fma(scratch[apart_at + i - segment.first], inverse_t, log_ratio);
        let apart = fma(scratch[student_at + i], ratio, -q);
        scratch[teacher_at + i] = apart;
        sum += divergence_apart::<F, N>(q, apart, r, terms);
    }
    total::<F, N>(sum)
}

/// How one pair's kept lines enter the gradient of a segment.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Slope<F: Float> {
    /// Multiplies the student's exponentials.
    pub own: F,
    /// Multiplies how far they lie above the teacher's.
    pub apart: F,
    pub student_at: usize,
    pub teacher_at: usize,
}

#[cube]
fn slope<F: Float, N: Size>(
    scratch: &[Vector<F, N>],
    i: usize,
    slopes: &Sequence<Slope<F>>,
    even: F,
    #[comptime] taught: Vec<bool>,
) -> Vector<F, N> {
    let mut sum = Vector::<F, N>::new(even);
    #[unroll]
    for t in 0..comptime!(taught.len()) {
        let slope = slopes.index(t);
        sum = fma(scratch[slope.student_at + i], Vector::new(slope.own), sum);
        if comptime!(taught[t]) {
            sum = fma(scratch[slope.teacher_at + i], Vector::new(slope.apart), sum);
        }
    }
    sum
}

/// Writes the gradient of a segment: `at_target` at the target, elsewhere the slopes of all pairs and `even`.
#[cube]
pub(super) fn gradient<F: Float, B: Size, N: Size>(
    scratch: &[Vector<F, N>],
    grad: &mut [Vector<F, B>],
    segment: &Segment,
    slopes: &Sequence<Slope<F>>,
    at_target: F,
    even: F,
    #[comptime] taught: Vec<bool>,
) {
    // The tail first: its shared lanes are its neighbour's to write.
    for i in segment.last..segment.end() {
        let g = slope::<F, N>(scratch, i, slopes, even, comptime!(taught.clone()));
        store::<F, F, B, N>(grad, segment.start + segment.class::<N>(i), g);
    }
    for i in segment.first..segment.last {
        let g = slope::<F, N>(scratch, i, slopes, even, comptime!(taught.clone()));
        store::<F, F, B, N>(grad, segment.start + i * N::value(), g);
    }
    if segment.holds::<N>(segment.target) {
        set_element::<F, B>(grad, segment.start + segment.target, at_target);
    }
}

/// Adds `at_second` at the second class of a segment's row, which is not its target.
#[cube]
pub(super) fn add_second<F: Float, B: Size, N: Size>(
    grad: &mut [Vector<F, B>],
    segment: &Segment,
    at_second: F,
) {
    if segment.second != segment.target && segment.holds::<N>(segment.second) {
        let index = segment.start + segment.second;
        let there = grad[index / B::value()].extract_dynamic(index % B::value());
        set_element::<F, B>(grad, index, there + at_second);
    }
}

#[cube]
fn set_element<F: Float, B: Size>(x: &mut [Vector<F, B>], index: usize, value: F) {
    let lane = Vector::<u32, B>::new(u32::cast_from(index % B::value()));
    let item = index / B::value();
    x[item] = select_many(
        lane_numbers::<B>().equal(&lane),
        Vector::new(value),
        x[item],
    );
}
