use super::finalize::{compare, finalize};
use super::passes::{Slope, Wanted, divergence, exponentials, gradient, largest};
use super::problem::{DistillProblem, Uses};
use super::scratch::{Fact, Finding, ScratchLayout};
use super::segment::Segment;
use super::terms::{Constants, Destination};
use crate::Client;
use crate::loss::decay::Exponential;
use crate::loss::log_space::series_terms;
use crate::loss::row::lane_numbers;
use cubecl::prelude::*;

/// What a launch is compiled for, beside the vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Blueprint {
    /// The terms of each temperature.
    pub uses: Vec<Uses>,
    /// Without labels every sample's target is class 0: classical distillation may be split at any class.
    pub labelled: bool,
    pub exponential: Exponential,
    /// Whether to fetch the logits behind those whose exponentials are taken.
    pub ahead: bool,
    /// Whether no row is split.
    pub whole: bool,
    /// Of the divergences' polynomial.
    pub terms: usize,
}

impl Blueprint {
    /// For rows that may be split, without fetching ahead.
    pub fn of(problem: &DistillProblem, client: &Client) -> Self {
        let accumulator = problem.dtype.accumulator();
        let temperatures = problem.temperatures();
        Self {
            uses: temperatures.iter().map(|&(_, uses)| uses).collect(),
            labelled: problem.options.needs_labels(),
            exponential: Exponential::of(client, accumulator),
            ahead: false,
            whole: false,
            terms: series_terms(accumulator),
        }
    }

    /// For each temperature, whether the teacher's softmax is needed.
    pub fn taught(&self) -> Vec<bool> {
        self.uses.iter().map(Uses::teacher).collect()
    }

    /// What the exponentials' walk of temperature `t` is to find.
    pub fn wanted(&self, t: usize) -> Wanted {
        let taught = self.taught();
        Wanted {
            exponential: self.exponential,
            teacher: taught[t],
            distances: self.uses[t].cross_entropy.is_some(),
            ahead: t == 0 && self.ahead,
            apart: taught.iter().position(|&taught| taught) == Some(t),
        }
    }
}

/// The extents of a launch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Extents {
    pub batch: usize,
    pub classes: usize,
    /// Blocks of a row.
    pub blocks: usize,
    /// Rows of one unit.
    pub run: usize,
    /// Rows that are noted side by side.
    pub group: usize,
    /// Vectors of a row's notes, and of the part that outlives no block.
    pub line: usize,
    pub short_line: usize,
}

/// One unit owns a run of rows, and walks them in bundles: some rows side by side, or one row in blocks.
#[cube(launch_unchecked)]
pub(super) fn fused<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scratch: &mut [Vector<F, N>],
    _unaligned: &[S],
    constants: Sequence<Constants>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let temperatures = comptime!(blueprint.uses.len());
    let vectors = (extents.blocks + N::value() - 1) / N::value();
    let layout = ScratchLayout::new(&extents, vectors, temperatures);
    let labelled = comptime!(blueprint.labelled);
    let first = ABSOLUTE_POS * extents.run;
    let last = min(first + extents.run, extents.batch);
    let split = extents.blocks > 1;
    let mut n = first;
    while n < last {
        let rows = min(extents.group, last - n);
        let segments = select(split, extents.blocks, rows);
        // The blocks of a row one by one, while they are in the first cache; rows side by side.
        let together = select(split, 1usize, rows);
        let mut from = 0usize;
        while from < segments {
            for p in from..from + together {
                let segment = Segment::new::<N>(&extents, labels, n, p, labelled);
                sum_segment::<S, F, B, N>(
                    student,
                    teacher,
                    &*grad,
                    scratch,
                    &layout,
                    p,
                    &segment,
                    &constants,
                    comptime!(blueprint.clone()),
                );
            }
            #[unroll]
            for t in 0..temperatures {
                if comptime!(blueprint.uses[t].teacher()) {
                    compare::<F, N>(
                        scratch,
                        &layout,
                        from / N::value(),
                        t,
                        comptime!(blueprint.exponential),
                    );
                }
            }
            for p in from..from + together {
                let segment = Segment::new::<N>(&extents, labels, n, p, labelled);
                diverge_segment::<F, N>(
                    scratch,
                    &layout,
                    p,
                    &segment,
                    &constants,
                    comptime!(blueprint.clone()),
                );
            }
            from += together;
        }
        let destination = Destination {
            n,
            rows,
            batch: extents.batch,
        };
        finalize::<F, N>(
            scratch,
            &layout,
            loss,
            &destination,
            &extents,
            &constants,
            comptime!(blueprint.clone()),
        );
        // Backwards: what was kept last is nearest.
        for p in 0..segments {
            let p = segments - 1 - p;
            let segment = Segment::new::<N>(&extents, labels, n, p, labelled);
            pull_segment::<F, B, N>(
                &*scratch,
                grad,
                &layout,
                p,
                &segment,
                comptime!(blueprint.taught()),
            );
        }
        n += rows;
    }
}

/// One logit, in all lanes.
#[cube]
pub(super) fn logit<S: Float, F: Float, B: Size, N: Size>(
    logits: &[Vector<S, B>],
    index: usize,
) -> Vector<F, N> {
    let item = logits[index / B::value()];
    Vector::new(F::cast_from(item.extract_dynamic(index % B::value())))
}

/// Writes `value` into the lane of segment `p`.
#[cube]
fn set_lane<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    index: usize,
    p: usize,
    value: Vector<F, N>,
) {
    let lane = Vector::<u32, N>::new(u32::cast_from(p % N::value()));
    scratch[index] = select_many(lane_numbers::<N>().equal(&lane), value, scratch[index]);
}

/// Keeps a segment's exponentials and notes its maxima and sums.
#[cube]
fn sum_segment<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    grad: &[Vector<F, B>],
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    p: usize,
    segment: &Segment,
    constants: &Sequence<Constants>,
    #[comptime] blueprint: Blueprint,
) {
    let v = p / N::value();
    let target = segment.start + segment.target;
    let any_taught = comptime!(blueprint.taught().contains(&true));
    let any_distances = comptime!(
        blueprint
            .uses
            .iter()
            .any(|uses| uses.cross_entropy.is_some())
    );
    let student_max = largest::<S, F, B, N>(student, segment);
    let mut teacher_max = student_max;
    let z = logit::<S, F, B, N>(student, target);
    set_lane::<F, N>(scratch, layout.fact(v, Fact::StudentTarget), p, z);
    set_lane::<F, N>(scratch, layout.fact(v, Fact::StudentMax), p, student_max);
    if any_taught {
        teacher_max = largest::<S, F, B, N>(teacher, segment);
        let z = logit::<S, F, B, N>(teacher, target);
        set_lane::<F, N>(scratch, layout.fact(v, Fact::TeacherTarget), p, z);
        set_lane::<F, N>(scratch, layout.fact(v, Fact::TeacherMax), p, teacher_max);
    }
    if any_distances {
        let counted = Vector::new(F::cast_from(segment.others::<N>()));
        set_lane::<F, N>(scratch, layout.fact(v, Fact::Counted), p, counted);
    }
    #[unroll]
    for t in 0..comptime!(blueprint.uses.len()) {
        let wanted = comptime!(blueprint.wanted(t));
        let sums = exponentials::<S, F, B, N>(
            student,
            teacher,
            grad,
            scratch,
            layout,
            segment,
            student_max,
            teacher_max,
            constants.index(t),
            t,
            wanted,
        );
        set_lane::<F, N>(
            scratch,
            layout.finding(v, t, Finding::StudentSum),
            p,
            sums.student,
        );
        if comptime!(wanted.ahead) {
            scratch[layout.fact(0usize, Fact::Fetched)] = Vector::new(F::cast_from(sums.fetched));
        }
        if comptime!(wanted.distances) {
            set_lane::<F, N>(
                scratch,
                layout.finding(v, t, Finding::Distances),
                p,
                sums.distances,
            );
        }
        if comptime!(wanted.teacher) {
            set_lane::<F, N>(
                scratch,
                layout.finding(v, t, Finding::TeacherSum),
                p,
                sums.teacher,
            );
        }
    }
}

/// Notes how far a segment's softmaxes diverge.
#[cube]
fn diverge_segment<F: Float, N: Size>(
    scratch: &mut [Vector<F, N>],
    layout: &ScratchLayout,
    p: usize,
    segment: &Segment,
    constants: &Sequence<Constants>,
    #[comptime] blueprint: Blueprint,
) {
    let (v, lane) = (p / N::value(), p % N::value());
    #[unroll]
    for t in 0..comptime!(blueprint.uses.len()) {
        if comptime!(blueprint.uses[t].teacher()) {
            let inverse_t = constants.index(t).inverse_t.get::<F>();
            let ratio = scratch[layout.finding(v, t, Finding::Ratio)].extract_dynamic(lane);
            let log_ratio = scratch[layout.finding(v, t, Finding::LogRatio)].extract_dynamic(lane);
            let found = divergence::<F, N>(
                scratch,
                layout,
                segment,
                inverse_t,
                ratio,
                log_ratio,
                t,
                comptime!(blueprint.terms),
            );
            set_lane::<F, N>(scratch, layout.finding(v, t, Finding::Divergence), p, found);
        }
    }
}

/// Writes a segment's gradient.
#[cube]
fn pull_segment<F: Float, B: Size, N: Size>(
    scratch: &[Vector<F, N>],
    grad: &mut [Vector<F, B>],
    layout: &ScratchLayout,
    p: usize,
    segment: &Segment,
    #[comptime] taught: Vec<bool>,
) {
    let (v, lane) = (p / N::value(), p % N::value());
    let mut slopes = Sequence::<Slope<F>>::new();
    #[unroll]
    for t in 0..comptime!(taught.len()) {
        let own = scratch[layout.finding(v, t, Finding::Own)].extract_dynamic(lane);
        let mut apart = own;
        if comptime!(taught[t]) {
            apart = scratch[layout.finding(v, t, Finding::Apart)].extract_dynamic(lane);
        }
        slopes.push(Slope::<F> {
            own,
            apart,
            student_at: layout.student(segment.row, t),
            teacher_at: layout.teacher(segment.row, t),
        });
    }
    let at_target = scratch[layout.fact(v, Fact::AtTarget)].extract_dynamic(lane);
    let even = scratch[layout.fact(v, Fact::Even)].extract_dynamic(lane);
    gradient::<F, B, N>(scratch, grad, segment, &slopes, at_target, even, taught);
}
