use super::fused::{Blueprint, ExtentsLaunch, fused};
use super::problem::DistillProblem;
use super::scratch::scratch_len;
use super::segment::BLOCK;
use super::short::launch_short;
use super::team::launch_by_teams;
use super::terms::ConstantsLaunch;
use crate::lanes::Lanes;
use crate::loss::decay::{Exponential, Rate};
use crate::{KernelError, Labels, Tensor, launch, planted, row_per_lane};

/// Vectors of one line of notes that rows side by side may take together: they are settled together.
const SIDE_BY_SIDE: usize = 128;

/// Launches losses and gradient.
pub(super) fn launch_fused(
    problem: &DistillProblem,
    student: &Tensor,
    teacher: Option<&Tensor>,
    labels: Option<&Labels>,
    loss: &Tensor,
    grad: &Tensor,
) -> Result<(), KernelError> {
    let client = student.client();
    let &DistillProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let teacher = teacher.unwrap_or(student);
    let labels = labels.filter(|_| problem.options.needs_labels());
    if !launch::is_cpu(client) {
        launch_by_teams(problem, student, teacher, labels, loss, grad);
        return Ok(());
    }
    if row_per_lane::are_short(client, dtype, classes) {
        return launch_short(problem, student, teacher, labels, loss, grad);
    }
    let temperatures = problem.temperatures();
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
    let vectors_of_segments = blocks.div_ceil(lanes.width);
    let scratch = scratch_len(
        temperatures.len(),
        [group, line, short_line],
        vectors_of_segments,
    );
    let accumulator = dtype.accumulator();
    let scratch = [note_takers, scratch * lanes.width];
    let scratch = Tensor::room("distill", "scratch", client, &scratch, accumulator)?;
    let blueprint = Blueprint::of(problem, client);
    let blueprint = Blueprint {
        // What is fetched is read as 32 bits.
        ahead: blueprint.exponential == Exponential::Polynomial && !dtype.is_half(),
        ..blueprint
    };
    let constants = constants(problem, blueprint.exponential).collect();
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
            scratch.arg(lanes.width),
            lanes.unaligned(student),
            constants,
            ExtentsLaunch::new(batch, classes, blocks, grid.run, group, line, short_line),
            blueprint,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}

/// What the terms of each temperature multiply by.
pub(super) fn constants(
    problem: &DistillProblem,
    exponential: Exponential,
) -> impl Iterator<Item = ConstantsLaunch> {
    let temperatures = problem.temperatures().into_iter();
    temperatures.map(move |(temperature, _)| constants_of(problem, exponential, temperature))
}

/// A term of another temperature, or none, multiplies by 0.
fn constants_of(
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
        Rate::of(exponential, dtype.accumulator(), temperature),
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
