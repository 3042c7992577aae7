use super::decay::{Exponential, Rate};
use super::problem::{DistillProblem, Uses};
use super::sweeps::{Block, Pair, Slope, divergence, exponentials, gradient, largest};
use super::terms::{Constants, ConstantsLaunch, Pull, Sample, pull};
use crate::lanes::Lanes;
use crate::loss::log_space::{divergence as share_of_block, series_terms};
use crate::special::nan;
use crate::{Labels, Tensor, launch, planted};
use cubecl::prelude::*;

/// Whole vectors of every block of a row but the last, which has up to twice as many.
const BLOCK: usize = 64;

/// What a launch is compiled for, beside the vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Blueprint {
    /// The terms of each temperature.
    uses: Vec<Uses>,
    /// Without labels every sample's target is class 0: classical distillation may be split at any class.
    labelled: bool,
    exponential: Exponential,
    /// Of the divergences' polynomial.
    terms: usize,
}

impl Blueprint {
    /// For each temperature, whether the teacher's softmax is needed.
    fn taught(&self) -> Vec<bool> {
        self.uses.iter().map(Uses::teacher).collect()
    }
}

/// The extents of a launch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    batch: usize,
    classes: usize,
    /// Blocks of a row.
    blocks: usize,
    /// Rows of one unit.
    run: usize,
}

/// A unit's notes on the row at hand, in vectors: a line of exponentials for each temperature and network, then for each block the
/// networks' maxima and [`FINDINGS`] a temperature.
#[derive(CubeType, Clone, Copy)]
struct Notes {
    base: usize,
    line: usize,
    /// Where the blocks' part starts.
    blocks: usize,
    per_block: usize,
}

/// Places of a temperature's findings about a block.
const FINDINGS: usize = 4;
const STUDENT_SUM: usize = 0;
const TEACHER_SUM: usize = 1;
const DISTANCES: usize = 2;
const DIVERGENCE: usize = 3;

#[cube]
impl Notes {
    fn student(&self, #[comptime] t: usize) -> usize {
        self.base + 2 * t * self.line
    }

    fn teacher(&self, #[comptime] t: usize) -> usize {
        self.base + (2 * t + 1) * self.line
    }

    fn student_max(&self, block: usize) -> usize {
        self.blocks + block * self.per_block
    }

    fn teacher_max(&self, block: usize) -> usize {
        self.blocks + block * self.per_block + 1
    }

    fn finding(&self, block: usize, #[comptime] t: usize, #[comptime] what: usize) -> usize {
        self.blocks + block * self.per_block + 2 + t * FINDINGS + what
    }
}

/// Vectors of the notes of one unit.
fn notes_len(temperatures: usize, line: usize, blocks: usize) -> usize {
    2 * temperatures * line + blocks * (2 + FINDINGS * temperatures)
}

/// One unit owns a run of rows.
#[cube(launch_unchecked)]
fn fused<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    labels: &[u32],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    notes: &mut [Vector<F, N>],
    _anywhere: &[F],
    constants: Sequence<Constants>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let temperatures = comptime!(blueprint.uses.len());
    let taught = comptime!(blueprint.taught());
    let any_taught = comptime!(taught.contains(&true));
    let line = extents.classes / N::value() + 1;
    let per_block = comptime!(2 + FINDINGS * temperatures).runtime();
    let lines = comptime!(2 * temperatures).runtime() * line;
    let base = ABSOLUTE_POS * (lines + extents.blocks * per_block);
    let at = Notes {
        base,
        line,
        blocks: base + lines,
        per_block,
    };
    let others = F::cast_from(extents.classes - 1);
    let first = ABSOLUTE_POS * extents.run;
    let last = min(first + extents.run, extents.batch);
    for n in first..last {
        let start = n * extents.classes;
        let mut target = 0usize;
        if comptime!(blueprint.labelled) {
            target = usize::cast_from(labels[n]);
        }
        // Every block: maxima, exponentials, sums.
        let mut student_top = F::min_value();
        let mut teacher_top = F::min_value();
        for b in 0..extents.blocks {
            let block = block::<N>(&extents, b, start, target);
            let student_max = largest::<F, B, N>(student, &block);
            student_top = max(student_top, student_max);
            notes[at.student_max(b)] = Vector::new(student_max);
            let mut teacher_max = student_max;
            if any_taught {
                teacher_max = largest::<F, B, N>(teacher, &block);
                teacher_top = max(teacher_top, teacher_max);
                notes[at.teacher_max(b)] = Vector::new(teacher_max);
            }
            #[unroll]
            for t in 0..temperatures {
                sum_block::<F, B, N>(
                    student,
                    teacher,
                    notes,
                    &at,
                    b,
                    &block,
                    student_max,
                    teacher_max,
                    constants.index(t),
                    t,
                    comptime!(blueprint.clone()),
                );
            }
        }
        // The row: its sums, then losses and slopes.
        let z = logit::<F, B>(student, start + target);
        let mut pulls = Sequence::<Pull<F>>::new();
        let mut student_shares = Sequence::<F>::new();
        let mut teacher_shares = Sequence::<F>::new();
        let mut at_target = F::new(0.0f32);
        let mut even = F::new(0.0f32);
        #[unroll]
        for t in 0..temperatures {
            let uses = comptime!(blueprint.uses[t]);
            let of = constants.index(t);
            let inverse_t = of.inverse_t.get::<F>();
            let sum = row_sum::<F, N>(
                &*notes,
                &at,
                student_top,
                z,
                inverse_t,
                &extents,
                t,
                STUDENT_SUM,
            );
            let log_sum = sum.ln();
            let odds = (z - student_top) * inverse_t - log_sum;
            let mut sample = Sample::<F> {
                student_odds: odds,
                teacher_odds: odds,
                log_sum,
                distances: F::new(0.0f32),
                divergence: F::new(0.0f32),
            };
            let mut teacher_sum = sum;
            if comptime!(uses.teacher()) {
                let v = logit::<F, B>(teacher, start + target);
                teacher_sum = row_sum::<F, N>(
                    &*notes,
                    &at,
                    teacher_top,
                    v,
                    inverse_t,
                    &extents,
                    t,
                    TEACHER_SUM,
                );
                let teacher_log_sum = teacher_sum.ln();
                sample.teacher_odds = (v - teacher_top) * inverse_t - teacher_log_sum;
                sample.divergence = row_divergence::<F, N>(
                    &*notes,
                    &at,
                    student_top,
                    teacher_top,
                    sum,
                    teacher_sum,
                    inverse_t,
                    &extents,
                    t,
                    comptime!(blueprint.terms),
                );
            }
            if comptime!(uses.cross_entropy.is_some()) {
                sample.distances =
                    row_distances::<F, N>(&*notes, &at, student_top, target, &extents, t);
            }
            let found = pull::<F>(
                loss,
                n,
                extents.batch,
                others,
                &sample,
                of,
                uses,
                comptime!(blueprint.terms),
            );
            at_target += found.at_target;
            even += found.even;
            pulls.push(found);
            student_shares.push(F::new(1.0f32) / sum);
            teacher_shares.push(F::new(1.0f32) / teacher_sum);
        }
        // Every block again: the gradient.
        for b in 0..extents.blocks {
            let block = block::<N>(&extents, b, start, target);
            let mut slopes = Sequence::<Slope<F>>::new();
            #[unroll]
            for t in 0..temperatures {
                let inverse_t = constants.index(t).inverse_t.get::<F>();
                let pull = pulls.index(t);
                let mut student = *student_shares.index(t);
                let mut teacher = *teacher_shares.index(t);
                if extents.blocks > 1 {
                    let down = notes[at.student_max(b)].extract(0usize) - student_top;
                    student *= (down * inverse_t).exp();
                    if comptime!(taught[t]) {
                        let down = notes[at.teacher_max(b)].extract(0usize) - teacher_top;
                        teacher *= (down * inverse_t).exp();
                    }
                }
                // Both shares of a block far below the row's maximum may be 0.
                let larger = max(max(student, teacher), F::new(f32::MIN_POSITIVE));
                slopes.push(Slope::<F> {
                    own: student * pull.own,
                    apart: larger * pull.apart,
                    student_share: student / larger,
                    teacher_share: teacher / larger,
                    student_at: at.student(t),
                    teacher_at: at.teacher(t),
                });
            }
            gradient::<F, B, N>(
                &*notes,
                grad,
                &block,
                &slopes,
                at_target,
                even,
                comptime!(taught.clone()),
            );
        }
    }
}

/// One logit.
#[cube]
fn logit<F: Float, B: Size>(logits: &[Vector<F, B>], index: usize) -> F {
    logits[index / B::value()].extract_dynamic(index % B::value())
}

/// Block `b` of the row that starts at element `start`.
#[cube]
fn block<N: Size>(extents: &Extents, b: usize, start: usize, target: usize) -> Block {
    let whole = extents.classes / N::value();
    let is_last = b + 1 == extents.blocks;
    let first = b * BLOCK;
    let last = select(is_last, whole, first + BLOCK);
    let vector = target / N::value();
    Block {
        start,
        classes: extents.classes,
        target,
        first,
        last,
        with_target: select(vector >= first && vector < last, vector, last),
        tail: is_last && extents.classes % N::value() != 0,
    }
}

/// Keeps a block's exponentials and notes its sums, for one temperature.
#[cube]
fn sum_block<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    notes: &mut [Vector<F, N>],
    at: &Notes,
    b: usize,
    block: &Block,
    student_max: F,
    teacher_max: F,
    constants: &Constants,
    #[comptime] t: usize,
    #[comptime] blueprint: Blueprint,
) {
    let exponential = comptime!(blueprint.exponential);
    let with_distances = comptime!(blueprint.uses[t].cross_entropy.is_some());
    let own = exponentials::<F, B, N>(
        student,
        notes,
        at.student(t),
        block,
        student_max,
        constants,
        exponential,
        with_distances,
    );
    notes[at.finding(b, t, STUDENT_SUM)] = Vector::new(own.exponentials);
    notes[at.finding(b, t, DISTANCES)] = Vector::new(own.distances);
    if comptime!(blueprint.uses[t].teacher()) {
        let taught = exponentials::<F, B, N>(
            teacher,
            notes,
            at.teacher(t),
            block,
            teacher_max,
            constants,
            exponential,
            false,
        );
        notes[at.finding(b, t, TEACHER_SUM)] = Vector::new(taught.exponentials);
        let pair = Pair::<F> {
            student_max,
            teacher_max,
            inverse_t: constants.inverse_t.get::<F>(),
            log_ratio: own.exponentials.ln() - taught.exponentials.ln(),
            ratio: taught.exponentials / own.exponentials,
        };
        let apart = divergence::<F, B, N>(
            student,
            teacher,
            &*notes,
            at.student(t),
            at.teacher(t),
            block,
            &pair,
            comptime!(blueprint.terms),
        );
        notes[at.finding(b, t, DIVERGENCE)] = Vector::new(apart / taught.exponentials);
    }
}

/// A row's sum of exponentials relative to its own maximum `top`; NaN when a logit, the target's `z` included, is infinitely far from it.
#[cube]
fn row_sum<F: Float, N: Size>(
    notes: &[Vector<F, N>],
    at: &Notes,
    top: F,
    z: F,
    inverse_t: F,
    extents: &Extents,
    #[comptime] t: usize,
    #[comptime] network: usize,
) -> F {
    let mut sum = notes[at.finding(0usize, t, network)].extract(0usize);
    if extents.blocks > 1 {
        sum = F::new(0.0f32);
        for b in 0..extents.blocks {
            let max = notes[block_max(at, b, network)].extract(0usize);
            let part = notes[at.finding(b, t, network)].extract(0usize);
            sum += part * ((max - top) * inverse_t).exp();
        }
    }
    let far = ((z - top) * inverse_t).abs() > F::max_value();
    select(far, nan::<F>(), sum)
}

#[cube]
fn block_max(at: &Notes, b: usize, #[comptime] network: usize) -> usize {
    if comptime!(network == STUDENT_SUM) {
        at.student_max(b)
    } else {
        at.teacher_max(b)
    }
}

/// The divergence between the non-target softmaxes of a row: that of the blocks' probabilities, and that within each block times the
/// teacher's probability of the block. Both parts are sums of terms that are at least 0.
#[cube]
fn row_divergence<F: Float, N: Size>(
    notes: &[Vector<F, N>],
    at: &Notes,
    student_top: F,
    teacher_top: F,
    student_sum: F,
    teacher_sum: F,
    inverse_t: F,
    extents: &Extents,
    #[comptime] t: usize,
    #[comptime] terms: usize,
) -> F {
    let mut all = notes[at.finding(0usize, t, DIVERGENCE)].extract(0usize);
    if extents.blocks > 1 {
        all = F::new(0.0f32);
        let log_ratio = student_sum.ln() - teacher_sum.ln();
        for b in 0..extents.blocks {
            let own = notes[at.finding(b, t, STUDENT_SUM)].extract(0usize);
            let taught = notes[at.finding(b, t, TEACHER_SUM)].extract(0usize);
            let x = (notes[at.student_max(b)].extract(0usize) - student_top) * inverse_t;
            let y = (notes[at.teacher_max(b)].extract(0usize) - teacher_top) * inverse_t;
            let p = x.exp() * own / student_sum;
            let q = y.exp() * taught / teacher_sum;
            let r = (x - y) + (own.ln() - taught.ln()) - log_ratio;
            let between = share_of_block::<F, Const<1>>(
                Vector::new(q),
                Vector::new(p),
                Vector::new(r),
                terms,
            );
            let within = notes[at.finding(b, t, DIVERGENCE)].extract(0usize);
            all += fma(q, within, between.extract(0usize));
        }
    }
    all
}

/// A row's sum of distances to the largest of all blocks' maxima.
#[cube]
fn row_distances<F: Float, N: Size>(
    notes: &[Vector<F, N>],
    at: &Notes,
    row_max: F,
    target: usize,
    extents: &Extents,
    #[comptime] t: usize,
) -> F {
    let mut all = F::new(0.0f32);
    for b in 0..extents.blocks {
        let first = b * BLOCK * N::value();
        let behind = select(
            b + 1 == extents.blocks,
            extents.classes,
            first + BLOCK * N::value(),
        );
        let counted = behind - first - select(target >= first && target < behind, 1usize, 0usize);
        let down = notes[at.student_max(b)].extract(0usize) - row_max;
        all += fma(
            down,
            F::cast_from(counted),
            notes[at.finding(b, t, DISTANCES)].extract(0usize),
        );
    }
    all
}

/// Launches losses and gradient.
pub(super) fn launch_fused(
    problem: &DistillProblem,
    student: &Tensor,
    teacher: Option<&Tensor>,
    labels: Option<&Labels>,
    loss: &Tensor,
    grad: &Tensor,
) {
    let client = student.client();
    let &DistillProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let temperatures = problem.temperatures();
    let teacher = teacher.unwrap_or(student);
    let labels = labels.filter(|_| problem.options.needs_labels());
    let lanes = Lanes::of(client, dtype, classes, &[student]);
    let grid = launch::grid(client, batch);
    let whole = classes / lanes.width;
    let blocks = (whole / BLOCK).max(1);
    // Units past the last row take no notes.
    let note_takers = grid.units.min(batch.div_ceil(grid.run));
    let notes = notes_len(temperatures.len(), whole + 1, blocks) * lanes.width;
    let notes = Tensor::empty(client, &[note_takers, notes], dtype);
    let blueprint = Blueprint {
        uses: temperatures.iter().map(|&(_, uses)| uses).collect(),
        labelled: labels.is_some(),
        exponential: Exponential::of(client, dtype),
        terms: series_terms(dtype),
    };
    let constants = temperatures
        .iter()
        .map(|&(temperature, _)| constants(problem, blueprint.exponential, temperature))
        .collect();
    // SAFETY: the problem relates the extents, every label is a class, and no unit that has a row is without notes.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(teacher),
            labels.map_or_else(|| student.buffer(1, 0), Labels::arg),
            loss.arg(1),
            lanes.arg(grad),
            notes.arg(lanes.width),
            lanes.anywhere(student),
            constants,
            ExtentsLaunch::new(batch, classes, blocks, grid.run),
            blueprint,
            dtype.elem(),
        );
    }
    launch::pace(client);
}

/// What one temperature's terms multiply by; a term of another temperature, or none, multiplies by 0.
fn constants(
    problem: &DistillProblem,
    exponential: Exponential,
    temperature: f64,
) -> ConstantsLaunch {
    let &DistillProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let mean = 1.0 / batch as f64;
    let entropy = options.cross_entropy.unwrap_or_default();
    let kd = options.kd.map_or(0.0, |kd| kd.weight);
    let dkd = options.dkd.unwrap_or_default();
    let in_grad = temperature * mean;
    let in_loss = in_grad * planted::or("dkd_temperature", temperature, 1.0);
    let scalar = |value: f64| dtype.scalar(value);
    ConstantsLaunch::new(
        scalar(1.0 / temperature),
        Rate::of(exponential, dtype, temperature),
        scalar(entropy.weight * mean),
        scalar(entropy.smoothing),
        scalar(entropy.smoothing / classes as f64),
        scalar(kd * in_loss),
        scalar(kd * in_grad),
        scalar(dkd.weight * dkd.alpha * in_loss),
        scalar(dkd.weight * dkd.alpha * in_grad),
        scalar(dkd.weight * dkd.beta * in_loss),
        scalar(dkd.weight * dkd.beta * in_grad),
    )
}
