//! What is made of the sums of a sample, by a cube: all its units find the same, and the first writes it.

use super::super::fused::{Numbers, numbers};
use super::super::maps::{Blueprint, Rule};
use super::super::weights::{
    attend, code_of, inner_product, mixed_slopes, nearest, pulls, slopes, value_of,
};
use super::super::{FlipAlignment, Normalisation};
use super::slices::{totals, units};
use super::sums::Partials;
use super::{Maps, notes};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Distances, weights and choice from the sums of squared differences; but for the mixed selection, also the loss and what its gradient
/// is made of.
#[cube(launch_unchecked)]
fn choose<F: Float>(
    partials: &[F],
    distances: &mut [F],
    weights: &mut [F],
    chosen: &mut [u32],
    loss: &mut [F],
    noted: &mut [F],
    numbers: Numbers,
    slices: usize,
    batch: usize,
    #[comptime] blueprint: Blueprint,
    #[comptime] units: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let columns = comptime!(blueprint.columns());
    let share = numbers.share.get::<F>();
    let tau = numbers.tau.get::<F>();
    let inverse_tau = numbers.inverse_tau.get::<F>();
    let n = min(CUBE_POS, batch - 1);
    let mut d = totals::<F>(partials, n, slices, columns, units);
    #[unroll]
    for g in 0..columns {
        d[g] /= numbers.divisor.get::<F>();
    }
    let column = nearest::<F>(&d, columns);
    let mut w = Array::<F>::new(columns);
    attend::<F>(&d, &mut w, column, inverse_tau, blueprint);
    if CUBE_POS < batch && UNIT_POS == 0 {
        #[unroll]
        for g in 0..columns {
            distances[n * columns + g] = d[g];
            weights[n * columns + g] = w[g];
        }
        if comptime!(blueprint.choices.is_some()) {
            chosen[n] = code_of(column, 0u32, blueprint);
        }
        if comptime!(blueprint.rule != Rule::Mixed) {
            let value = value_of::<F>(&d, &w, column, tau, inverse_tau, blueprint);
            loss[n] = value * share;
            let targets = comptime!(blueprint.targets());
            let mut k = Array::<F>::new(targets);
            slopes::<F>(&d, &w, &mut k, value, inverse_tau, blueprint);
            let at = n * comptime!(notes::len(&blueprint));
            #[unroll]
            for g in 0..targets {
                noted[at + comptime!(notes::SLOPES + g)] = k[g];
            }
            if comptime!(blueprint.normalisation == Normalisation::Sample) {
                let scales = (
                    noted[at + notes::STUDENT_SCALE],
                    noted[at + notes::TEACHER_SCALE],
                );
                noted[at + notes::INNER] =
                    inner_product::<F>(&d, &k, value, scales, share, blueprint);
            }
        }
    }
}

/// The loss of the mixed selection and what its gradient is made of, from the sums of the residual.
#[cube(launch_unchecked)]
fn mix<F: Float>(
    partials: &[F],
    weights: &[F],
    loss: &mut [F],
    noted: &mut [F],
    numbers: Numbers,
    slices: usize,
    batch: usize,
    #[comptime] blueprint: Blueprint,
    #[comptime] units: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let columns = comptime!(blueprint.columns());
    let divisor = numbers.divisor.get::<F>();
    let n = min(CUBE_POS, batch - 1);
    let products = totals::<F>(partials, n, slices, comptime!(columns + 1), units);
    let mut w = Array::<F>::new(columns);
    #[unroll]
    for g in 0..columns {
        w[g] = weights[n * columns + g];
    }
    if CUBE_POS < batch && UNIT_POS == 0 {
        loss[n] = products[columns] / divisor * numbers.share.get::<F>();
        let pull = pulls::<F>(
            &products,
            &w,
            divisor,
            numbers.inverse_tau.get::<F>(),
            columns,
        );
        let mut own = Array::<F>::new(columns);
        let mut other = Array::<F>::new(columns);
        mixed_slopes::<F>(&w, &pull, &mut own, &mut other, blueprint);
        let at = n * comptime!(notes::len(&blueprint));
        #[unroll]
        for g in 0..columns {
            noted[at + comptime!(notes::SLOPES + g)] = other[g];
            noted[at + comptime!(notes::SLOPES + columns + g)] = own[g];
        }
    }
}

/// Launches the choice.
pub(super) fn launch_choice(
    maps: &Maps,
    differences: &Partials,
    noted: &Tensor,
    out: &FlipAlignment,
) {
    let (client, problem) = (maps.client(), maps.problem);
    let units = units(client);
    // SAFETY: cubes past the last sample read the last one's sums, and write nothing.
    unsafe {
        choose::launch_unchecked(
            client,
            launch::cubes(client, problem.batch),
            CubeDim::new_1d(units as u32),
            differences.sums.arg(1),
            out.distances.arg(1),
            out.weights.arg(1),
            out.chosen.arg(),
            out.loss.arg(1),
            noted.arg(1),
            numbers(problem),
            differences.slices,
            problem.batch,
            maps.blueprint,
            units,
            noted.dtype().elem(),
        );
    }
    launch::throttle(client);
}

/// Launches the end of the mixed selection.
pub(super) fn launch_mixture(
    maps: &Maps,
    residuals: &Partials,
    noted: &Tensor,
    out: &FlipAlignment,
) {
    let (client, problem) = (maps.client(), maps.problem);
    let units = units(client);
    // SAFETY: as for `choose`.
    unsafe {
        mix::launch_unchecked(
            client,
            launch::cubes(client, problem.batch),
            CubeDim::new_1d(units as u32),
            residuals.sums.arg(1),
            out.weights.arg(1),
            out.loss.arg(1),
            noted.arg(1),
            numbers(problem),
            residuals.slices,
            problem.batch,
            maps.blueprint,
            units,
            noted.dtype().elem(),
        );
    }
    launch::throttle(client);
}
