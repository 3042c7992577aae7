//! Partial sums over a sample: a cube a slice, a unit one vector of an orbit at a time.

use super::super::maps::{Blueprint, Extent, Views, inverse, inverse_norm};
use super::super::{FlipAlignment, Normalisation};
use super::orbit::{Map, Orbit, share, start, vector};
use super::slices::{Dealt, Slice, Slices, totals};
use super::{Maps, notes};
use crate::lanes::load;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// The squares of both maps.
#[cube(launch_unchecked)]
fn squares<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: Views,
    partials: &mut [F],
    extent: Extent,
    dealt: Dealt,
    #[comptime] units: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let slice = Slice::new(&dealt, units);
    let first = slice.sample * extent.height * extent.width;
    let mut of_student = Vector::<F, N>::new(F::new(0.0f32));
    let mut of_teacher = Vector::<F, N>::new(F::new(0.0f32));
    for k in 0..dealt.per_unit {
        let item = slice.item + k * units;
        if item < dealt.items {
            let pixel = first + item / extent.vectors;
            let c = item % extent.vectors * N::value();
            let a = load::<S, F, B, N>(student, views.student.at(pixel) + c);
            let t = load::<S, F, B, N>(teacher, views.teacher.at(pixel) + c);
            of_student = fma(a, a, of_student);
            of_teacher = fma(t, t, of_teacher);
        }
    }
    let mut own = Array::<F>::new(2usize);
    own[0] = of_student.vector_sum();
    own[1] = of_teacher.vector_sum();
    slice.write::<F>(&own, &dealt, partials, 2usize, units);
}

/// The squared differences of the student's map and the teacher's under each choice, or under the given transform. Under the norm per
/// sample, `norms` are the partial sums of [`squares`], and the reciprocals of the norms go to the sample's notes.
#[cube(launch_unchecked)]
fn differences<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: Views,
    norms: &[F],
    chosen: &[u32],
    noted: &mut [F],
    partials: &mut [F],
    extent: Extent,
    dealt: Dealt,
    norm_slices: usize,
    #[comptime] blueprint: Blueprint,
    #[comptime] orbit: Orbit,
    #[comptime] units: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let normalisation = comptime!(blueprint.normalisation);
    let columns = comptime!(blueprint.columns());
    let slice = Slice::new(&dealt, units);
    let n = slice.sample;
    let pixels = extent.height * extent.width;
    let mut of_student = Map::<F> {
        first: n * pixels,
        code: 0u32.runtime(),
        scale: F::new(1.0f32),
        norms: 2 * n * pixels,
    };
    let mut of_teacher = Map::<F> {
        first: n * pixels,
        code: 0u32.runtime(),
        scale: F::new(1.0f32),
        norms: (2 * n + 1) * pixels,
    };
    if comptime!(blueprint.choices.is_none()) {
        of_teacher.code = inverse(chosen[n]);
    }
    if comptime!(normalisation == Normalisation::Sample) {
        let squares = totals::<F>(norms, n, norm_slices, 2usize, units);
        of_student.scale = inverse_norm::<F>(squares[0]);
        of_teacher.scale = inverse_norm::<F>(squares[1]);
        if slice.leads() {
            let at = n * comptime!(notes::len(&blueprint));
            noted[at + notes::STUDENT_SCALE] = of_student.scale;
            noted[at + notes::TEACHER_SCALE] = of_teacher.scale;
        }
    }
    let mut sums = Array::<F>::new(columns);
    #[unroll]
    for g in 0..columns {
        sums[g] = F::new(0.0f32);
    }
    for k in 0..dealt.per_unit {
        let item = slice.item + k * units;
        if item < dealt.items {
            let start = start(item / extent.vectors, &extent, orbit);
            let c = item % extent.vectors * N::value();
            let mut held = Array::<Vector<F, N>>::new(comptime!(orbit.len()));
            #[unroll]
            for h in 0..comptime!(orbit.len()) {
                held[h] = vector::<S, F, B, N>(
                    teacher,
                    &views.teacher,
                    &of_teacher,
                    norms,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
            }
            let mut parts = Array::<F>::new(columns);
            #[unroll]
            for g in 0..columns {
                parts[g] = F::new(0.0f32);
            }
            #[unroll]
            for h in 0..comptime!(orbit.len()) {
                let a = vector::<S, F, B, N>(
                    student,
                    &views.student,
                    &of_student,
                    norms,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
                #[unroll]
                for g in 0..columns {
                    let difference = a - held[comptime!(orbit.read_by_inverse(h, g))];
                    #[unroll]
                    for lane in 0..N::value() {
                        let one = difference.extract(lane);
                        parts[g] = fma(one, one, parts[g]);
                    }
                }
            }
            let share = share::<F>(&start, &extent, orbit);
            #[unroll]
            for g in 0..columns {
                sums[g] = fma(parts[g], share, sums[g]);
            }
        }
    }
    slice.write::<F>(&sums, &dealt, partials, columns, units);
}

/// For `r = sum of weights g.a - t`, `<r, g.a>` of each choice, and behind them `|r|^2`.
#[cube(launch_unchecked)]
fn residuals<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    views: Views,
    weights: &[F],
    partials: &mut [F],
    extent: Extent,
    dealt: Dealt,
    #[comptime] orbit: Orbit,
    #[comptime] units: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    // The mixed selection knows no norm.
    let normalisation = comptime!(Normalisation::None);
    let columns = comptime!(orbit.len());
    let slice = Slice::new(&dealt, units);
    let map = Map::<F> {
        first: slice.sample * extent.height * extent.width,
        code: 0u32.runtime(),
        scale: F::new(1.0f32),
        norms: 0usize.runtime(),
    };
    let mut by = Array::<F>::new(columns);
    let mut sums = Array::<F>::new(comptime!(columns + 1));
    #[unroll]
    for g in 0..columns {
        by[g] = weights[slice.sample * columns + g];
        sums[g] = F::new(0.0f32);
    }
    sums[columns] = F::new(0.0f32);
    for k in 0..dealt.per_unit {
        let item = slice.item + k * units;
        if item < dealt.items {
            let start = start(item / extent.vectors, &extent, orbit);
            let c = item % extent.vectors * N::value();
            let mut held = Array::<Vector<F, N>>::new(columns);
            #[unroll]
            for h in 0..columns {
                held[h] = vector::<S, F, B, N>(
                    student,
                    &views.student,
                    &map,
                    weights,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
            }
            let mut parts = Array::<F>::new(comptime!(columns + 1));
            #[unroll]
            for g in 0..comptime!(columns + 1) {
                parts[g] = F::new(0.0f32);
            }
            #[unroll]
            for h in 0..columns {
                let t = vector::<S, F, B, N>(
                    teacher,
                    &views.teacher,
                    &map,
                    weights,
                    &start,
                    c,
                    &extent,
                    normalisation,
                    orbit,
                    h,
                );
                let mut rest = Vector::<F, N>::new(F::new(0.0f32)) - t;
                #[unroll]
                for g in 0..columns {
                    let a = held[comptime!(orbit.read(h, g))];
                    rest = fma(a, Vector::new(by[g]), rest);
                }
                #[unroll]
                for lane in 0..N::value() {
                    let one = rest.extract(lane);
                    parts[columns] = fma(one, one, parts[columns]);
                    #[unroll]
                    for g in 0..columns {
                        let a = held[comptime!(orbit.read(h, g))];
                        parts[g] = fma(one, a.extract(lane), parts[g]);
                    }
                }
            }
            let share = share::<F>(&start, &extent, orbit);
            #[unroll]
            for g in 0..comptime!(columns + 1) {
                sums[g] = fma(parts[g], share, sums[g]);
            }
        }
    }
    slice.write::<F>(&sums, &dealt, partials, comptime!(columns + 1), units);
}

/// Partial sums, and the number of them that a sample has.
pub(super) struct Partials {
    pub sums: Tensor,
    pub slices: usize,
}

/// Launches the sums of squares.
pub(super) fn launch_squares(maps: &Maps) -> Result<Partials, KernelError> {
    let (client, problem, lanes) = (maps.client(), maps.problem, &maps.lanes);
    let slices = Slices::of(client, problem.batch, problem.positions() * lanes.vectors());
    let sums = slices.room(maps.student, 2)?;
    // SAFETY: a slice ends with its sample's items, and one that is not there writes nothing.
    unsafe {
        squares::launch_unchecked(
            client,
            slices.cubes(client),
            CubeDim::new_1d(slices.units as u32),
            lanes.item,
            lanes.width,
            lanes.arg(maps.student),
            lanes.arg(maps.teacher),
            maps.views(),
            sums.arg(1),
            maps.extent(),
            slices.arg(),
            slices.units,
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(Partials {
        sums,
        slices: slices.count,
    })
}

/// Launches the sums of squared differences; `norms` is what the normalisation's own launch left.
pub(super) fn launch_differences(
    maps: &Maps,
    norms: &Partials,
    noted: &Tensor,
    out: &FlipAlignment,
) -> Result<Partials, KernelError> {
    let (client, problem, lanes) = (maps.client(), maps.problem, &maps.lanes);
    let orbit = Orbit::of_choices(&maps.blueprint);
    let items = orbit.count(problem.height, problem.width) * lanes.vectors();
    let slices = Slices::of(client, problem.batch, items);
    let sums = slices.room(maps.student, maps.blueprint.columns())?;
    // SAFETY: as for `squares`; every transform moves positions within a map.
    unsafe {
        differences::launch_unchecked(
            client,
            slices.cubes(client),
            CubeDim::new_1d(slices.units as u32),
            lanes.item,
            lanes.width,
            lanes.arg(maps.student),
            lanes.arg(maps.teacher),
            maps.views(),
            norms.sums.arg(1),
            out.chosen.arg(),
            noted.arg(1),
            sums.arg(1),
            maps.extent(),
            slices.arg(),
            norms.slices,
            maps.blueprint,
            orbit,
            slices.units,
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(Partials {
        sums,
        slices: slices.count,
    })
}

/// Launches the sums of the mixed residual.
pub(super) fn launch_residuals(maps: &Maps, out: &FlipAlignment) -> Result<Partials, KernelError> {
    let (client, problem, lanes) = (maps.client(), maps.problem, &maps.lanes);
    let orbit = Orbit::of_choices(&maps.blueprint);
    let items = orbit.count(problem.height, problem.width) * lanes.vectors();
    let slices = Slices::of(client, problem.batch, items);
    let sums = slices.room(maps.student, orbit.len() + 1)?;
    // SAFETY: as for `differences`.
    unsafe {
        residuals::launch_unchecked(
            client,
            slices.cubes(client),
            CubeDim::new_1d(slices.units as u32),
            lanes.item,
            lanes.width,
            lanes.arg(maps.student),
            lanes.arg(maps.teacher),
            maps.views(),
            out.weights.arg(1),
            sums.arg(1),
            maps.extent(),
            slices.arg(),
            orbit,
            slices.units,
            problem.dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(Partials {
        sums,
        slices: slices.count,
    })
}
