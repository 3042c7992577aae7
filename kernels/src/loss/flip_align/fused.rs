use super::distances::squared_distances;
use super::gradient::{mixed_residual, write_gradient, write_mixed_gradient};
use super::maps::{
    Blueprint, Extent, ExtentLaunch, Rule, Views, ViewsLaunch, sample_scale, write_position_scales,
};
use super::weights::{attend, code_of, inner_product, nearest, pulls, slopes, value_of};
use super::{FlipAlignment, FlipProblem, Normalisation, OP};
use crate::lanes::Lanes;
use crate::loss::log_space::series_terms;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// The numbers of a launch.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Numbers {
    pub tau: InputScalar,
    pub inverse_tau: InputScalar,
    /// `M`.
    pub divisor: InputScalar,
    /// `1 / N`.
    pub share: InputScalar,
    /// `2 / (N M)`.
    pub factor: InputScalar,
}

/// One unit owns a run of samples. `chosen` is read where the transforms are given, and written where they are chosen.
#[cube(launch_unchecked)]
fn fused<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    _unaligned: &[S],
    views: Views,
    norms: &mut [F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    distances: &mut [F],
    weights: &mut [F],
    chosen: &mut [u32],
    extent: Extent,
    numbers: Numbers,
    batch: usize,
    run: usize,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let columns = comptime!(blueprint.columns());
    let divisor = numbers.divisor.get::<F>();
    let share = numbers.share.get::<F>();
    let factor = numbers.factor.get::<F>();
    let tau = numbers.tau.get::<F>();
    let inverse_tau = numbers.inverse_tau.get::<F>();
    let pixels = extent.height * extent.width;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * pixels;
        let norms_at = 2 * start;
        if comptime!(blueprint.normalisation == Normalisation::Position) {
            write_position_scales::<S, F, B, N>(
                student,
                &views.student,
                start,
                &extent,
                norms,
                norms_at,
                blueprint,
            );
            let behind = norms_at + pixels;
            write_position_scales::<S, F, B, N>(
                teacher,
                &views.teacher,
                start,
                &extent,
                norms,
                behind,
                blueprint,
            );
        }
        let scales = (
            sample_scale::<S, F, B, N>(student, &views.student, start, &extent, blueprint),
            sample_scale::<S, F, B, N>(teacher, &views.teacher, start, &extent, blueprint),
        );
        let mut given = 0u32.runtime();
        if comptime!(blueprint.choices.is_none()) {
            given = chosen[n];
        }
        let mut d = Array::<F>::new(columns);
        squared_distances::<S, F, B, N>(
            student, teacher, &views, start, &extent, scales, norms, norms_at, given, &mut d,
            blueprint,
        );
        #[unroll]
        for g in 0..columns {
            d[g] /= divisor;
            distances[n * columns + g] = d[g];
        }
        let column = nearest::<F>(&d, columns);
        let code = code_of(column, given, blueprint);
        if comptime!(blueprint.choices.is_some()) {
            chosen[n] = code;
        }
        let mut w = Array::<F>::new(columns);
        attend::<F>(&d, &mut w, column, inverse_tau, blueprint);
        #[unroll]
        for g in 0..columns {
            weights[n * columns + g] = w[g];
        }
        if comptime!(blueprint.rule == Rule::Mixed) {
            let mut products = Array::<F>::new(columns);
            let square = mixed_residual::<S, F, B, N>(
                student,
                teacher,
                &views,
                start,
                &extent,
                &w,
                &mut products,
                blueprint,
            );
            loss[n] = square / divisor * share;
            let pull = pulls::<F>(&products, &w, divisor, inverse_tau, columns);
            write_mixed_gradient::<S, F, B, N>(
                student, teacher, grad, &views, start, &extent, &w, &pull, factor, blueprint,
            );
        } else {
            let value = value_of::<F>(&d, &w, column, tau, inverse_tau, blueprint);
            loss[n] = value * share;
            let targets = comptime!(blueprint.targets());
            let mut k = Array::<F>::new(targets);
            slopes::<F>(&d, &w, &mut k, value, inverse_tau, blueprint);
            let mut inner = F::new(0.0f32);
            if comptime!(blueprint.normalisation == Normalisation::Sample) {
                inner = inner_product::<F>(&d, &k, value, scales, share, blueprint);
            }
            write_gradient::<S, F, B, N>(
                student, teacher, grad, &views, start, &extent, scales, norms, norms_at, code, &k,
                factor, inner, blueprint,
            );
        }
    }
}

/// The numbers of the launches of `problem`.
pub(super) fn numbers(problem: &FlipProblem) -> NumbersLaunch {
    let dtype = problem.dtype;
    let tau = problem.options.selection.tau().unwrap_or(1.0);
    let (divisor, share) = (problem.divisor() as f64, 1.0 / problem.batch as f64);
    NumbersLaunch::new(
        dtype.scalar(tau),
        dtype.scalar(1.0 / tau),
        dtype.scalar(divisor),
        dtype.scalar(share),
        dtype.scalar(2.0 * share / divisor),
    )
}

/// Launches everything into `out`, on a CPU.
pub(super) fn launch_fused(
    problem: &FlipProblem,
    student: &Tensor,
    teacher: &Tensor,
    out: &FlipAlignment,
) -> Result<(), KernelError> {
    let client = student.client();
    let &FlipProblem {
        batch,
        height,
        width,
        channels,
        dtype,
        ..
    } = problem;
    let lanes = Lanes::of(client, dtype, channels, &[student, teacher, &out.grad]);
    let overlaps = !channels.is_multiple_of(lanes.width);
    let blueprint = Blueprint::new(problem, overlaps, series_terms(dtype.accumulator()));
    // The kernel's own notes: the reciprocal norm of each position of both maps.
    let norms = match blueprint.normalisation {
        Normalisation::Position => 2 * batch * problem.positions(),
        Normalisation::None | Normalisation::Sample => 1,
    };
    let norms = Tensor::room(OP, "scratch", client, &[norms], dtype.accumulator())?;
    let grid = launch::grid(client, batch);
    // SAFETY: the problem relates the extents, every transform moves positions within a map, and the vectors end with the channels.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(teacher),
            lanes.unaligned(student),
            ViewsLaunch::new(student.view(), teacher.view()),
            norms.arg(1),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            out.distances.arg(1),
            out.weights.arg(1),
            out.chosen.arg(),
            ExtentLaunch::new(height, width, channels, lanes.vectors()),
            numbers(problem),
            batch,
            grid.run,
            blueprint,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
