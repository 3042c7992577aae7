use super::super::Saved;
use crate::cascade::Cascade;
use crate::columns::Columns;
use crate::lanes::{Lanes, load, store};
use crate::norm::partials::{Partials, Planes, launch_add};
use crate::norm::runs::{AHEAD, Layout, Runs};
use crate::share::{Share, Shares};
use crate::team::{Team, Teams, pair};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Numbers that are reduced at a time: of an image, the sums of `h` and of `h n`.
type Two = Const<2>;

/// Sums of `grad n` and of `grad` for each channel and run. One cube owns a run of an image's pixels and a slice of the channels.
#[cube(launch_unchecked)]
fn image_sums_by_cubes<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    means: &[F],
    inv_stds: &[F],
    partials: &mut [Vector<F, N>],
    runs: Runs,
    planes: Planes,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ahead = comptime!(AHEAD);
    let mut columns = Columns::<F, N>::new(runs.lanes);
    let rows = columns.rows;
    let v = runs.vector(columns.lane);
    let there = runs.there(v);
    let v = min(v, runs.vectors - 1);
    let (from, to) = (runs.from(), runs.to());
    let channels = runs.vectors * N::value();
    let c = v * N::value();
    let centre = Vector::<F, N>::new(means[runs.group()]);
    let scale = Vector::<F, N>::new(inv_stds[runs.group()]);
    let mut sum = zero;
    let mut product = zero;
    let mut pixel = from + columns.row;
    while pixel < to {
        let mut n = Array::<Vector<F, N>>::new(ahead);
        let mut g = Array::<Vector<F, N>>::new(ahead);
        #[unroll]
        for u in 0..ahead {
            // Pixels past the end are the last one, and count for nothing.
            let first_element = min(pixel + u * rows, to - 1) * channels + c;
            n[u] = (load::<S, F, B, N>(x, first_element) - centre) * scale;
            g[u] = load::<S, F, B, N>(grad, first_element);
        }
        #[unroll]
        for u in 0..ahead {
            if pixel + u * rows < to {
                sum += g[u];
                product = fma(g[u], n[u], product);
            }
        }
        pixel += rows * ahead;
    }
    let sum = columns.sum(sum);
    let product = columns.sum(product);
    if there && columns.row == 0 {
        partials[planes.index(0usize, runs.run(), v)] = product;
        partials[planes.index(1usize, runs.run(), v)] = sum;
    }
}

/// The means of `h` and of `h n` over each image, `[samples, 2]`. One team owns an image.
#[cube(launch_unchecked)]
fn image_means_by_teams<F: Float, B: Size, N: Size>(
    partials: &[Vector<F, N>],
    gamma: &[Vector<F, B>],
    means: &mut [F],
    planes: Planes,
    runs_of_image: usize,
    samples: usize,
    pixels: usize,
    team: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let mut team = Team::<F, Two>::new(samples, team);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let vectors = planes.vectors;
    // With what lies between rows: so a team's units read whole lines.
    let in_all = runs_of_image * planes.pitch;
    let mut sum = Cascade::<F, N>::new();
    let mut product = Cascade::<F, N>::new();
    let mut i = team.unit;
    while i < in_all {
        let mut part = zero;
        let mut product_part = zero;
        let end = team.block(i, in_all);
        while i < end {
            let run = team.row * runs_of_image + i / planes.pitch;
            let v = i % planes.pitch;
            if v < vectors {
                let by = load::<F, F, B, N>(gamma, v * N::value());
                product_part = fma(partials[planes.index(0usize, run, v)], by, product_part);
                part = fma(partials[planes.index(1usize, run, v)], by, part);
            }
            i += team.size;
        }
        sum.add(part);
        product.add(product_part);
    }
    let sums = team.sum(pair::<F>(
        sum.total().vector_sum(),
        product.total().vector_sum(),
    ));
    if team.leads() {
        let count = F::cast_from(u32::cast_from(pixels * vectors * N::value()));
        means[2 * team.row] = sums.extract(0usize) / count;
        means[2 * team.row + 1] = sums.extract(1usize) / count;
    }
}

/// `out = inv_std (h - mean of h - n mean of h n)`. One unit owns a vector.
#[cube(launch_unchecked)]
fn image_grad<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    gamma: &[Vector<F, B>],
    means: &[F],
    inv_stds: &[F],
    sums: &[F],
    out: &mut [Vector<S, B>],
    share: Share,
    pixels: usize,
    channels: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for pixel in share.first()..share.end() {
        let sample = pixel / pixels;
        let centre = Vector::<F, N>::new(means[sample]);
        let scale = Vector::<F, N>::new(inv_stds[sample]);
        let offset = Vector::<F, N>::new(sums[2 * sample]);
        let tilt = Vector::<F, N>::new(sums[2 * sample + 1]);
        for v in share.from()..share.to() {
            let c = v * N::value();
            let first_element = pixel * channels + c;
            let n = (load::<S, F, B, N>(x, first_element) - centre) * scale;
            let h = load::<S, F, B, N>(grad, first_element) * load::<F, F, B, N>(gamma, c);
            store::<S, F, B, N>(out, first_element, scale * (h - offset - n * tilt));
        }
    }
}

/// Launches the gradient of `x` into `out`, and those of `gamma` and of `beta`, `[c]` each.
pub(in crate::norm::layer_norm) fn launch_backward(
    saved: &Saved,
    grad: &Tensor,
    out: &Tensor,
    [gamma, beta]: [&Tensor; 2],
) -> Result<(), KernelError> {
    let (client, problem, x) = (grad.client(), &saved.problem, &saved.input);
    let (dtype, samples, pixels) = (problem.dtype, problem.samples, problem.pixels);
    let lanes = Lanes::apart(client, dtype, problem.channels, &[]);
    let layout = Layout::of(client, samples, pixels, lanes.vectors());
    let partials = Partials::room(saved.sample.op(), client, dtype, layout.count(), &lanes)?;
    // SAFETY: `LayerNormProblem` relates the extents; `partials` has room for all runs, and units without a vector write nothing.
    unsafe {
        image_sums_by_cubes::launch_unchecked(
            client,
            layout.cubes.count.clone(),
            layout.cubes.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            partials.scratch.arg(lanes.width),
            layout.arg(),
            partials.arg(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    let sums = Tensor::empty(client, &[samples, 2], dtype.accumulator());
    let runs = layout.runs_of_group();
    let teams = Teams::of(client, samples, runs * partials.pitch());
    // SAFETY: as above; teams past the last image write nothing.
    unsafe {
        image_means_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            partials.scratch.arg(lanes.width),
            lanes.arg(&saved.gamma),
            sums.arg(1),
            partials.arg(),
            runs,
            samples,
            pixels,
            teams.size,
            dtype.accumulator().elem(),
        );
    }
    launch::throttle(client);
    let shares = Shares::of(client, samples * pixels, &lanes, 1);
    // SAFETY: as above; `sums` holds two numbers an image.
    unsafe {
        image_grad::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            lanes.arg(&saved.gamma),
            saved.mean.arg(1),
            saved.inv_std.arg(1),
            sums.arg(1),
            lanes.arg(out),
            shares.arg(),
            pixels,
            problem.channels,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    launch_add(&partials, &lanes, gamma, beta);
    Ok(())
}
