//! The kernel for rows of few classes on a CPU: the losses and the gradient of [`fused`](super::fused) for the same [`Blueprint`], a
//! row a lane.
//!
//! **Computes** what the module's note says, from the same formulas (`finalize.rs`, `terms.rs`).
//!
//! **Layout** as there. A vector holds one class of as many rows as it has lanes ([`RowPerLane`]); it is gathered from the logits and
//! scattered into the gradient, and noted as a vector in between.
//!
//! **One unit owns** a run of bundles of rows. Each bundle is walked class by class: its logits are read once, with the maxima; then their
//! exponentials are kept, the divergence is summed, and the gradient is written. No step crosses lanes, so that rows of 2 classes
//! cost their logarithms once in 16 rows. Cosines (`cosine.rs`) walk the classes again, and add to the gradient.
//!
//! **Why this shape.** Along the classes a row of 2 fills 2 lanes, and every row pays for its maxima, sums and logarithms by itself: 60 to
//! 80 ns a row on two cores. Here 16 rows share them: 6 ns a row. 2.0 ms was predicted for 524288 x 2, and 1.5 for 131072 x 8; best were 3.0 and
//! 1.5. The number of classes stays a runtime argument: what would be shuffles for a known one are gathers and single stores, which
//! the compiler makes of lane by lane reads.
//!
//! **Where the time goes**, at 2 classes, in runs of about 3.9 ms: 1.5 in settling (five divisions, five logarithms, three exponentials in
//! 16 rows), 0.8 in gathering and scattering, which are a third at 8 classes. Logarithms that ask for zeros, infinities and
//! subnormal numbers, and general exponentials of log-odds, took 20 to 25 % more in all; a quotient within `log(1 + e)` and losses stored
//! lane by lane 12 to 15 %; bundles one by one 15 %. Offsets of the lanes as one product of vectors, not 16 of addresses, came to 4 %.
//!
//! **Not finite**: as in the module's note.

mod cosine;
mod passes;

use self::cosine::add_cosine;
use self::passes::{divergence, gradient, sum};
use super::blueprint::{Blueprint, Extents, ExtentsLaunch};
use super::finalize::{compare, finalize};
use super::launch::{Operands, constants, scalars};
use super::problem::DistillProblem;
use super::scratch::ScratchLayout;
use super::terms::{Constants, Destination, factor, write};
use crate::lanes::Lanes;
use crate::loss::cosine::angle::Scalars;
use crate::row_per_lane::RowPerLane;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Bundles that go through each phase one after the other, so that a core finds work beside the chain of operations of one: before the
/// logarithms were their own, 2 classes took 3.96 ms with one bundle, 3.21 with 2, 3.42 with 4, 3.37 with 8 and 3.15 with 16.
const BUNDLES: usize = 8;
/// Vectors of one line of notes that the bundles may take together, so that all lines stay in the first cache.
const LINES: usize = 128;

/// One unit owns a run of bundles of as many rows as a vector has lanes. `logits` are all networks', the student's first.
#[cube(launch_unchecked)]
pub(super) fn short<S: Float, F: Float, B: Size, N: Size>(
    logits: &Sequence<Box<[Vector<S, B>]>>,
    labels: &[u32],
    mixed: &[u32],
    factors: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scratch: &mut [Vector<F, N>],
    _unaligned: &[S],
    constants: Sequence<Constants>,
    scalars: Sequence<Scalars>,
    extents: Extents,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let pairs = comptime!(blueprint.uses.len());
    let all = ScratchLayout::new(&extents, extents.group, comptime!(blueprint.contents()));
    let first = ABSOLUTE_POS * extents.run;
    let last = min(first + extents.run, extents.batch);
    let mut n = first;
    while n < last {
        let bundles = min(extents.group, (last - n + N::value() - 1) / N::value());
        for v in 0..bundles {
            let rows = RowPerLane::<N>::new(n + v * N::value(), extents.batch, extents.classes);
            sum::<S, F, B, N>(
                logits,
                labels,
                mixed,
                scratch,
                &all.of(v),
                &rows,
                &constants,
                comptime!(blueprint.clone()),
            );
        }
        #[unroll]
        for t in 0..pairs {
            if comptime!(blueprint.uses[t].teacher.is_some()) {
                for v in 0..bundles {
                    compare::<F, N>(scratch, &all, v, t, comptime!(blueprint.exponential));
                }
                for v in 0..bundles {
                    divergence::<F, N>(
                        scratch,
                        &all.of(v),
                        extents.classes,
                        constants.index(t).inverse_t.get::<F>(),
                        t,
                        comptime!(blueprint.uses[t].teacher.unwrap_or(0)),
                        comptime!(blueprint.terms),
                    );
                }
            }
        }
        for v in 0..bundles {
            finalize::<F, N>(
                scratch,
                &all.of(v),
                loss,
                factors,
                &bundle::<N>(n, v, &extents),
                &extents,
                &constants,
                comptime!(blueprint.clone()),
            );
        }
        for v in 0..bundles {
            let rows = RowPerLane::<N>::new(n + v * N::value(), extents.batch, extents.classes);
            gradient::<F, B, N>(
                &*scratch,
                grad,
                labels,
                mixed,
                &all.of(v),
                &rows,
                comptime!(blueprint.clone()),
            );
        }
        #[unroll]
        for c in 0..comptime!(blueprint.cosines.len()) {
            for v in 0..bundles {
                let rows = RowPerLane::<N>::new(n + v * N::value(), extents.batch, extents.classes);
                let cosine = comptime!(blueprint.cosines[c]);
                let place = comptime!(cosine.factor(&blueprint));
                let destination = bundle::<N>(n, v, &extents);
                let by = factor::<F, N>(factors, extents.factors, &destination, place);
                let found = add_cosine::<S, F, B, N>(
                    logits.index(0usize),
                    logits.index(comptime!(cosine.network().0)),
                    grad,
                    &rows,
                    scalars.index(c),
                    by,
                    comptime!(cosine.between),
                );
                write::<F, N>(loss, &destination, comptime!(cosine.row), found);
            }
        }
        n += bundles * N::value();
    }
}

/// Where the losses of bundle `v` of those from row `n` on go.
#[cube]
fn bundle<N: Size>(n: usize, v: usize, extents: &Extents) -> Destination {
    let from = n + v * N::value();
    Destination {
        n: from,
        rows: min(N::value(), extents.batch - from),
        batch: extents.batch,
    }
}

/// Launches losses and gradient of short rows.
pub(super) fn launch_short(
    problem: &DistillProblem,
    operands: &Operands,
) -> Result<(), KernelError> {
    let student = operands.student;
    let client = student.client();
    let &DistillProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let lanes = Lanes::of(client, dtype, classes, &[student]);
    let width = launch::widest(client, dtype);
    let bundles = batch.div_ceil(width);
    let grid = launch::grid_for(client, bundles, batch * classes);
    let note_takers = grid.units.min(bundles.div_ceil(grid.run));
    let line = classes | 1;
    let group = (LINES / line).clamp(1, BUNDLES);
    let blueprint = Blueprint {
        whole: true,
        ..Blueprint::of(problem, client)
    };
    let scratch = blueprint.contents().len([group, line, line], group);
    let accumulator = dtype.accumulator();
    let scratch = [note_takers, scratch * width];
    let scratch = Tensor::room("distill", "scratch", client, &scratch, accumulator)?;
    let constants = constants(problem, blueprint.exponential).collect();
    let (run, stride) = (grid.run * width, problem.factor_stride());
    // SAFETY: the problem relates the extents, every label is a class, and no unit that has a row is without notes.
    unsafe {
        short::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            width,
            operands.logits(&lanes).collect(),
            operands.labels(),
            operands.mixed(),
            operands.factors(),
            operands.loss.arg(1),
            lanes.arg(operands.grad),
            scratch.arg(width),
            lanes.unaligned(student),
            constants,
            scalars(problem),
            ExtentsLaunch::new(batch, classes, 1, run, group, line, line, stride),
            blueprint,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
