use super::super::Saved;
use super::super::forward::variance;
use crate::cascade::Cascade;
use crate::lanes::{Lanes, load, store};
use crate::norm::moments::{around, first_number, launch_moments};
use crate::norm::partials::{Partials, Planes};
use crate::norm::runs::Layout;
use crate::share::{Share, Shares};
use crate::team::{Team, Teams};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Numbers that are reduced at a time.
type One = Const<1>;

/// Merges the moments of an image's runs and channels. One team owns an image.
#[cube(launch_unchecked)]
fn image_moments_by_teams<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    partials: &[Vector<F, N>],
    mean_out: &mut [F],
    inv_std_out: &mut [F],
    planes: Planes,
    per_run: usize,
    runs_of_image: usize,
    samples: usize,
    pixels: usize,
    epsilon: InputScalar,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, One>::new(samples, team);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let vectors = planes.vectors;
    let first_run = team.row * runs_of_image;
    // With what lies between rows: so a team's units read whole lines.
    let in_all = runs_of_image * planes.pitch;
    let elements = pixels * vectors * N::value();
    let all = F::cast_from(u32::cast_from(elements));
    let mut sum = Cascade::<F, N>::new();
    let mut i = team.unit;
    while i < in_all {
        let mut part = zero;
        let end = team.block(i, in_all);
        while i < end {
            let v = i % planes.pitch;
            if v < vectors {
                part += partials[planes.index(0usize, first_run + i / planes.pitch, v)];
            }
            i += team.size;
        }
        sum.add(part);
    }
    let sum = team.sum(Vector::new(sum.total().vector_sum()));
    let distance = sum.extract(0usize) / all;
    let mut squares = Cascade::<F, N>::new();
    let mut i = team.unit;
    while i < in_all {
        let mut part = zero;
        let end = team.block(i, in_all);
        while i < end {
            let (run, v) = (i / planes.pitch, i % planes.pitch);
            if v < vectors {
                let count = min(run * per_run + per_run, pixels) - run * per_run;
                let mean = partials[planes.index(0usize, first_run + run, v)]
                    / Vector::new(F::cast_from(count as u32));
                let own = partials[planes.index(1usize, first_run + run, v)];
                part += around::<F, N>(own, mean - Vector::new(distance), count);
            }
            i += team.size;
        }
        squares.add(part);
    }
    let squares = team.sum(Vector::new(squares.total().vector_sum()));
    let variance = variance::<F>(squares.extract(0usize), all);
    if team.leads() {
        let origin = first_number::<S, F, B, N>(x, team.row * elements);
        mean_out[team.row] = origin.extract(0usize) + distance;
        inv_std_out[team.row] = F::new(1.0f32) / (variance + epsilon.get::<F>()).sqrt();
    }
}

/// `y = (x - mean) inv_std gamma + beta`. One unit owns a vector.
#[cube(launch_unchecked)]
fn normalise_images<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    means: &[F],
    inv_stds: &[F],
    y: &mut [Vector<S, B>],
    share: Share,
    pixels: usize,
    channels: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for pixel in share.first()..share.end() {
        let centre = Vector::<F, N>::new(means[pixel / pixels]);
        let scale = Vector::<F, N>::new(inv_stds[pixel / pixels]);
        for v in share.from()..share.to() {
            let c = v * N::value();
            let first_element = pixel * channels + c;
            let normal = (load::<S, F, B, N>(x, first_element) - centre) * scale;
            let (g, b) = (load::<F, F, B, N>(gamma, c), load::<F, F, B, N>(beta, c));
            store::<S, F, B, N>(y, first_element, fma(normal, g, b));
        }
    }
}

/// Launches the norm of `saved.input` into `y` and its moments into `saved`.
pub(in crate::norm::layer_norm) fn launch_layer_norm(
    saved: &Saved,
    beta: &Tensor,
    epsilon: f64,
    y: &Tensor,
) -> Result<(), KernelError> {
    let (client, problem, x) = (y.client(), &saved.problem, &saved.input);
    let (dtype, samples, pixels) = (problem.dtype, problem.samples, problem.pixels);
    let lanes = Lanes::apart(client, dtype, problem.channels, &[]);
    let layout = Layout::of(client, samples, pixels, lanes.vectors());
    let partials = Partials::room(saved.sample.op(), client, dtype, layout.count(), &lanes)?;
    launch_moments(x, &layout, &partials, &lanes, true);
    let runs = layout.runs_of_group();
    let teams = Teams::of(client, samples, runs * partials.pitch());
    // SAFETY: `LayerNormProblem` relates the extents; teams past the last image write nothing.
    unsafe {
        image_moments_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            partials.scratch.arg(lanes.width),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            partials.arg(),
            layout.per_run(),
            runs,
            samples,
            pixels,
            dtype.scalar(epsilon),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    let shares = Shares::of(client, samples * pixels, &lanes, 1);
    // SAFETY: as above.
    unsafe {
        normalise_images::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(&saved.gamma),
            lanes.arg(beta),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            lanes.arg(y),
            shares.arg(),
            pixels,
            problem.channels,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
