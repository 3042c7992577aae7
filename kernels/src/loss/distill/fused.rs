use super::blueprint::{Blueprint, CosineBlueprint, Extents};
use super::finalize::{compare, finalize};
use super::passes::{Slope, add_second, divergence, exponentials, gradient, largest};
use super::scratch::{Fact, Finding, ScratchLayout};
use super::segment::Segment;
use super::terms::{Constants, Destination, factor};
use crate::loss::cosine::{angle, fused as cosine};
use crate::loss::row::lane_numbers;
use cubecl::prelude::*;

/// One unit owns a run of rows, and walks them in bundles: some rows side by side, or one row in blocks.
///
/// `logits` are all networks', the student's first. `kept` has two rows for each unit, for the cosines.
#[cube(launch_unchecked)]
pub(super) fn fused<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    labels: &[u32],
    mixed: &[u32],
    factors: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scratch: &mut [Vector<F, N>],
    kept: &mut [Vector<F, B>],
    _unaligned: &[S],
    constants: Sequence<Constants>,
    scalars: Sequence<angle::Scalars>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let pairs = comptime!(blueprint.uses.len());
    let vectors = (extents.blocks + N::value() - 1) / N::value();
    let layout = ScratchLayout::new(&extents, vectors, comptime!(blueprint.contents()));
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
                let segment =
                    Segment::new::<N>(&extents, labels, mixed, n, p, comptime!(blueprint.clone()));
                sum_segment::<S, F, B, N>(
                    logits,
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
            for t in 0..pairs {
                if comptime!(blueprint.uses[t].teacher.is_some()) {
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
                let segment =
                    Segment::new::<N>(&extents, labels, mixed, n, p, comptime!(blueprint.clone()));
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
            factors,
            &destination,
            &extents,
            &constants,
            comptime!(blueprint.clone()),
        );
        // Backwards: what was kept last is nearest.
        for p in 0..segments {
            let p = segments - 1 - p;
            let segment =
                Segment::new::<N>(&extents, labels, mixed, n, p, comptime!(blueprint.clone()));
            pull_segment::<F, B, N>(
                &*scratch,
                grad,
                &layout,
                p,
                &segment,
                comptime!(blueprint.taught()),
                comptime!(blueprint.mixed),
            );
        }
        #[unroll]
        for c in 0..comptime!(blueprint.cosines.len()) {
            for row in n..n + rows {
                add_cosine::<S, F, B, N>(
                    logits,
                    factors,
                    loss,
                    grad,
                    kept,
                    scalars.index(c),
                    &extents,
                    row,
                    comptime!(blueprint.cosines[c]),
                    comptime!(blueprint.cosines[c].factor(&blueprint)),
                );
            }
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

/// Writes the loss of row `n`'s cosine, and adds its gradient to what is there.
#[cube]
fn add_cosine<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    factors: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    kept: &mut [Vector<F, B>],
    scalars: &angle::Scalars,
    extents: &Extents,
    n: usize,
    #[comptime] blueprint: CosineBlueprint,
    #[comptime] place: Option<usize>,
) {
    let destination = Destination {
        n,
        rows: 1usize.runtime(),
        batch: extents.batch,
    };
    let vectors = (extents.classes + N::value() - 1) / N::value();
    let pitch = vectors * N::value();
    let sample = cosine::Sample {
        start: n * extents.classes,
        length: extents.classes,
        vectors,
        kept: 2 * ABSOLUTE_POS * pitch,
        pitch,
    };
    let by = factor::<F, angle::One>(factors, extents.factors, &destination, place);
    let weight = scalars.weight.get::<F>() * by.extract(0usize);
    let found = cosine::turn_sample::<S, F, B, N>(
        logits.index(0usize),
        logits.index(comptime!(blueprint.network().0)),
        kept,
        grad,
        scalars,
        weight,
        &sample,
        comptime!(blueprint.between),
        true,
    );
    loss[comptime!(blueprint.row) * extents.batch + n] = found;
}

/// Keeps a segment's exponentials and notes its maxima and sums.
#[cube]
fn sum_segment<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
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
    let any_distances = comptime!(
        blueprint
            .uses
            .iter()
            .any(|uses| uses.cross_entropy.is_some())
    );
    let networks = comptime!(blueprint.networks());
    let mut maxima = Sequence::<Vector<F, N>>::new();
    #[unroll]
    for i in 0..comptime!(networks.len()) {
        let network = comptime!(networks[i]);
        let logits = logits.index(comptime!(network.0));
        let max = largest::<S, F, B, N>(logits, segment);
        let z = logit::<S, F, B, N>(logits, target);
        set_lane::<F, N>(scratch, layout.fact(v, comptime!(network.target())), p, z);
        set_lane::<F, N>(scratch, layout.fact(v, comptime!(network.max())), p, max);
        maxima.push(max);
    }
    if comptime!(blueprint.mixed) {
        let z = logit::<S, F, B, N>(logits.index(0usize), segment.start + segment.second);
        let share = constants.index(0usize).share.get::<F>();
        let none = segment.second == segment.target;
        let share = Vector::new(select(none, F::new(0.0f32), share));
        set_lane::<F, N>(scratch, layout.fact(v, Fact::Second), p, z);
        set_lane::<F, N>(scratch, layout.fact(v, Fact::Share), p, share);
    }
    if any_distances {
        let counted = Vector::new(F::cast_from(segment.others::<N>()));
        set_lane::<F, N>(scratch, layout.fact(v, Fact::Counted), p, counted);
    }
    #[unroll]
    for t in 0..comptime!(blueprint.uses.len()) {
        let wanted = comptime!(blueprint.wanted(t));
        let network = comptime!(blueprint.uses[t].network());
        let place = comptime!(networks.iter().position(|&n| n == network).unwrap_or(0));
        let sums = exponentials::<S, F, B, N>(
            logits.index(0usize),
            logits.index(comptime!(network.0)),
            grad,
            scratch,
            layout,
            segment,
            *maxima.index(0usize),
            *maxima.index(place),
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
        if comptime!(wanted.teacher.is_some()) {
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
        if comptime!(blueprint.uses[t].teacher.is_some()) {
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
                comptime!(blueprint.uses[t].teacher.unwrap_or(0)),
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
    #[comptime] mixed: bool,
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
    if comptime!(mixed) {
        let at_second = scratch[layout.fact(v, Fact::AtSecond)].extract_dynamic(lane);
        add_second::<F, B, N>(grad, segment, at_second);
    }
}
