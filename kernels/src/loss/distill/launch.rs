use super::blueprint::{Blueprint, ExtentsLaunch};
use super::fused::fused;
use super::problem::{DistillProblem, TeacherTerms, Uses};
use super::segment::BLOCK;
use super::short::launch_short;
use super::team::launch_by_teams;
use super::terms::ConstantsLaunch;
use crate::lanes::Lanes;
use crate::loss::cosine::angle::Scalars;
use crate::loss::decay::{Exponential, Rate};
use crate::{KernelError, Labels, Tensor, launch, planted, row_per_lane};
use cubecl::prelude::*;

/// Vectors of one line of notes that rows side by side may take together: they are settled together.
const SIDE_BY_SIDE: usize = 128;

/// What a launch reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub student: &'a Tensor,
    pub teachers: &'a [Tensor],
    pub labels: Option<&'a Labels>,
    pub mixed: Option<&'a Labels>,
    pub factors: Option<&'a Tensor>,
    pub loss: &'a Tensor,
    pub grad: &'a Tensor,
}

impl Operands<'_> {
    /// The logits of all networks, the student's first.
    pub fn logits(&self, lanes: &Lanes) -> impl Iterator<Item = BufferArg> {
        let all = [self.student].into_iter().chain(self.teachers);
        all.map(|logits| lanes.arg(logits))
    }

    /// The labels, or what stands in for them where nothing reads them.
    pub fn labels(&self) -> BufferArg {
        let none = || self.student.buffer(1, 0);
        self.labels.map_or_else(none, Labels::arg)
    }

    /// The second classes, or what stands in for them where nothing reads them.
    pub fn mixed(&self) -> BufferArg {
        let none = || self.student.buffer(1, 0);
        self.mixed.map_or_else(none, Labels::arg)
    }

    /// The factors, or what stands in for them where nothing reads them.
    pub fn factors(&self) -> BufferArg {
        self.factors.unwrap_or(self.student).buffer(1, 0)
    }
}

/// Launches losses and gradient.
pub(super) fn launch_fused(
    problem: &DistillProblem,
    operands: &Operands,
) -> Result<(), KernelError> {
    let (student, grad) = (operands.student, operands.grad);
    let client = student.client();
    let &DistillProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    if batch == 0 {
        return Ok(());
    }
    // What no term asks for is not read.
    let needed = operands.labels.filter(|_| problem.options.needs_labels());
    let operands = &Operands {
        labels: needed,
        mixed: problem.options.mixed().map(|mixed| &mixed.labels),
        ..*operands
    };
    if !launch::is_cpu(client) {
        launch_by_teams(problem, operands);
        return Ok(());
    }
    if row_per_lane::are_short(client, dtype, classes) {
        return launch_short(problem, operands);
    }
    let lanes = Lanes::of(client, dtype, classes, &[student]);
    let grid = launch::grid_for(client, batch, batch * classes);
    let whole = classes / lanes.width;
    let blocks = (whole / BLOCK).max(1);
    // An odd number of vectors: lines that lie a page apart would hinder one another.
    let line = (whole + 1) | 1;
    let short_line = line.min(2 * BLOCK + 1);
    let group = if blocks == 1 {
        (SIDE_BY_SIDE / line).clamp(1, lanes.width).min(grid.run)
    } else {
        1
    };
    // Units past the last row take no notes.
    let note_takers = grid.units.min(batch.div_ceil(grid.run));
    let blueprint = Blueprint::of(problem, client);
    let vectors_of_segments = blocks.div_ceil(lanes.width);
    let contents = blueprint.contents();
    let scratch = contents.len([group, line, short_line], vectors_of_segments);
    let room =
        |shape: &[usize]| Tensor::room("distill", "scratch", client, shape, dtype.accumulator());
    let scratch = room(&[note_takers, scratch * lanes.width])?;
    // Only cosines keep rows.
    let kept = if blueprint.cosines.is_empty() {
        scratch.clone()
    } else {
        room(&[2 * note_takers, classes.next_multiple_of(lanes.width)])?
    };
    let blueprint = Blueprint {
        // What is fetched is read as 32 bits.
        ahead: blueprint.exponential == Exponential::Polynomial && !dtype.is_half(),
        ..blueprint
    };
    let constants = constants(problem, blueprint.exponential).collect();
    let stride = problem.factor_stride();
    // SAFETY: the problem relates the extents, every label is a class, and no unit that has a row is without notes.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            operands.logits(&lanes).collect(),
            operands.labels(),
            operands.mixed(),
            operands.factors(),
            operands.loss.arg(1),
            lanes.arg(grad),
            scratch.arg(lanes.width),
            lanes.arg(&kept),
            lanes.unaligned(student),
            constants,
            scalars(problem),
            ExtentsLaunch::new(
                batch, classes, blocks, grid.run, group, line, short_line, stride,
            ),
            blueprint,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}

/// What the terms of each pair multiply by.
pub(super) fn constants(
    problem: &DistillProblem,
    exponential: Exponential,
) -> impl Iterator<Item = ConstantsLaunch> {
    let pairs = problem.pairs().into_iter();
    pairs.map(move |(temperature, uses)| constants_of(problem, exponential, temperature, uses))
}

/// What the cosines multiply by.
pub(super) fn scalars(problem: &DistillProblem) -> SequenceArg<Scalars> {
    let cosines = problem.cosines().into_iter();
    let each = cosines.map(|cosine| cosine.options.scalars(problem.batch, problem.dtype));
    each.collect()
}

/// A term of another pair, or none, multiplies by 0.
fn constants_of(
    problem: &DistillProblem,
    exponential: Exponential,
    temperature: f64,
    uses: Uses,
) -> ConstantsLaunch {
    let &DistillProblem {
        batch,
        classes,
        ref options,
        dtype,
        ..
    } = problem;
    let mean = 1.0 / batch as f64;
    let entropy = options.cross_entropy.clone().unwrap_or_default();
    let share = entropy.mixed.map_or(0.0, |mixed| mixed.share);
    let teacher = uses.teacher.map(|teacher| options.teachers[teacher]);
    let TeacherTerms { kd, dkd, .. } = teacher.unwrap_or_default();
    let kd = kd.map_or(0.0, |kd| kd.weight);
    let dkd = dkd.unwrap_or_default();
    let in_grad = temperature * mean;
    let in_loss = in_grad * planted::or("dkd_temperature", temperature, 1.0);
    let scalar = |value: f64| dtype.scalar(value);
    ConstantsLaunch::new(
        scalar(1.0 / temperature),
        Rate::of(exponential, dtype.accumulator(), temperature),
        scalar(entropy.weight * mean),
        scalar(entropy.smoothing),
        scalar(entropy.smoothing / classes as f64),
        scalar(planted::or("mixed_share_of_the_other", share, 1.0 - share)),
        scalar(kd * in_loss),
        scalar(kd * in_grad),
        scalar(dkd.weight * dkd.alpha * in_loss),
        scalar(dkd.weight * dkd.alpha * in_grad),
        scalar(dkd.weight * dkd.beta * in_loss),
        scalar(dkd.weight * dkd.beta * in_grad),
    )
}
