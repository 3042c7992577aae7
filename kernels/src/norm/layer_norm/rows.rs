//! The gradient of layer norm on a GPU, of rows that a team of units holds in registers.
//!
//! **One cube owns** a partial sum: as many teams ([`crate::team`]) as fit, which take the rows of a run in turns. A unit keeps to its
//! vectors of channels, at most [`HELD`], and so holds `gamma`, the row's values between the two walks, and the sums for the gradients of
//! `gamma` and `beta`. At the end the teams of the cube meet ([`crate::columns`]).
//!
//! **Why this shape.** `x` and `grad` are read once, the result is written once, and a partial sum of 16 rows or more adds a tenth to that.
//! Where a team owned a partial sum and kept it in memory, there were 64 teams on a card with room for thousands; as many partial
//! sums as that would take are as large as the map.

use super::{LayerNormProblem, Saved};
use crate::columns::Columns;
use crate::lanes::{Lanes, load, store};
use crate::norm::partials::{Partials, Planes, launch_add};
use crate::team::{Team, Teams, VECTORS_OF_UNIT, pair};
use crate::{Client, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Vectors of a row that a unit holds.
const HELD: usize = VECTORS_OF_UNIT;
/// Rows of a team, at least and at most: no chain of additions is longer.
const LEAST_ROWS: usize = 4;
const MOST_ROWS: usize = 64;
/// Cubes past which a team is given more rows.
const CUBES: usize = 2048;

/// Numbers that are reduced at a time.
type Two = Const<2>;

/// `out = inv_std (h - mean of h - n mean of h n)` with `h = grad gamma` and `n` the normalised `x`; each partial sum takes `grad n` and
/// `grad` of a run of rows. One cube owns a partial sum.
#[cube(launch_unchecked)]
fn layer_norm_grad_by_rows<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    means: &[F],
    inv_stds: &[F],
    out: &mut [Vector<S, B>],
    partials: &mut [Vector<F, N>],
    planes: Planes,
    samples: usize,
    rounds: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let held = comptime!(HELD);
    let mut columns = Columns::<F, N>::new(team);
    let mut team = Team::<F, Two>::new(samples, team);
    // Cubes past the last partial sum walk it again, for the barriers, and write nothing.
    let cube_is_there = CUBE_POS < planes.runs;
    let partial = min(CUBE_POS, planes.runs - 1);
    let vectors = planes.vectors;
    let channels = vectors * N::value();
    let count = F::cast_from(u32::cast_from(channels));
    let mut by = Array::<Vector<F, N>>::new(held);
    let mut of_gamma = Array::<Vector<F, N>>::new(held);
    let mut of_beta = Array::<Vector<F, N>>::new(held);
    #[unroll]
    for j in 0..held {
        let v = min(columns.lane + j * team.size, vectors - 1);
        by[j] = load::<F, F, B, N>(gamma, v * N::value());
        of_gamma[j] = zero;
        of_beta[j] = zero;
    }
    for round in 0..rounds {
        let sample = (partial * rounds + round) * columns.rows + columns.row;
        let there = cube_is_there && sample < samples;
        let sample = min(sample, samples - 1);
        let centre = Vector::<F, N>::new(means[sample]);
        let scale = Vector::<F, N>::new(inv_stds[sample]);
        let mut g = Array::<Vector<F, N>>::new(held);
        let mut n = Array::<Vector<F, N>>::new(held);
        #[unroll]
        for j in 0..held {
            let v = columns.lane + j * team.size;
            let first_element = sample * channels + min(v, vectors - 1) * N::value();
            g[j] = load::<S, F, B, N>(grad, first_element);
            n[j] = (load::<S, F, B, N>(x, first_element) - centre) * scale;
        }
        let mut sum = zero;
        let mut product = zero;
        #[unroll]
        for j in 0..held {
            if there && columns.lane + j * team.size < vectors {
                of_gamma[j] = fma(g[j], n[j], of_gamma[j]);
                of_beta[j] += g[j];
                g[j] *= by[j];
                sum += g[j];
                product = fma(g[j], n[j], product);
            }
        }
        let sums = team.sum(pair::<F>(sum.vector_sum(), product.vector_sum()));
        let offset = Vector::<F, N>::new(sums.extract(0usize) / count);
        let tilt = Vector::<F, N>::new(sums.extract(1usize) / count);
        #[unroll]
        for j in 0..held {
            let v = columns.lane + j * team.size;
            if there && v < vectors {
                let value = scale * (g[j] - offset - n[j] * tilt);
                store::<S, F, B, N>(out, sample * channels + v * N::value(), value);
            }
        }
    }
    #[unroll]
    for j in 0..held {
        let v = columns.lane + j * team.size;
        let first = columns.sum(of_gamma[j]);
        let second = columns.sum(of_beta[j]);
        if columns.row == 0 && cube_is_there && v < vectors {
            partials[planes.index(0usize, partial, v)] = first;
            partials[planes.index(1usize, partial, v)] = second;
        }
    }
}

fn lanes(problem: &LayerNormProblem, client: &Client) -> Lanes {
    Lanes::apart(client, problem.dtype, problem.channels, &[])
}

/// Whether the units of a team hold a row of `problem`'s, whose samples are pixels.
pub(super) fn holds(problem: &LayerNormProblem, client: &Client) -> bool {
    let vectors = lanes(problem, client).vectors();
    vectors <= HELD * Teams::size(client, vectors)
}

/// Launches the gradient of `x` into `out`, and those of `gamma` and of `beta`, `[c]` each.
pub(super) fn launch_backward(
    saved: &Saved,
    grad: &Tensor,
    out: &Tensor,
    [gamma, beta]: [&Tensor; 2],
) -> Result<(), KernelError> {
    let (client, problem, x) = (grad.client(), &saved.problem, &saved.input);
    let (dtype, samples) = (problem.dtype, problem.samples);
    let lanes = lanes(problem, client);
    let size = Teams::size(client, lanes.vectors());
    let teams = 1 << (launch::grid(client, 1).dim.x as usize / size).ilog2();
    let rounds = samples.div_ceil(teams * CUBES).clamp(LEAST_ROWS, MOST_ROWS);
    let count = samples.div_ceil(teams * rounds);
    let partials = Partials::room(saved.sample.op(), client, dtype, count, &lanes)?;
    // SAFETY: `LayerNormProblem` relates the extents; `partials` has two rows a partial sum, and teams past the last sample write nothing.
    unsafe {
        layer_norm_grad_by_rows::launch_unchecked(
            client,
            launch::cubes(client, count),
            CubeDim::new_1d((teams * size) as u32),
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            lanes.arg(&saved.gamma),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            lanes.arg(out),
            partials.scratch.arg(lanes.width),
            partials.arg(),
            samples,
            rounds,
            size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    launch_add(&partials, &lanes, gamma, beta);
    Ok(())
}
