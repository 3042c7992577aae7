//! Flip alignment on GPUs: the same losses and gradient as [`fused`](super::fused), spread over all positions and channels.
//!
//! **Layout** as there. The vectors of a pixel are what neighbouring units read, so that loads coalesce; they share no lane.
//!
//! **Orbits.** The transforms of a group carry a position to eight at most, its orbit, and the teacher's pixels that these meet are those
//! of the same eight. So a unit takes an orbit and one vector of channels: 8 vectors of the student and 8 of the teacher come in for 64
//! differences, and each map is read once; position by position it would be read eight times over. On an axis or a diagonal
//! members of an orbit fall together: their terms are divided by how many they are, a power of two.
//!
//! | launch | one unit owns | one cube, or team, owns |
//! |---|---|---|
//! | norms per sample (`sums.rs`) | a few vectors of both maps | a slice of a sample: the sums of the squares |
//! | norms per position (`norms.rs`) | every `size`-th vector of a position | a position, by a team |
//! | differences (`sums.rs`) | an orbit and a vector, in large maps a few | a slice of a sample: a sum for each transform |
//! | choice (`select.rs`) | a part of the slices' sums | a sample: distances, weights, loss, slopes |
//! | residuals, choice again | as differences and choice, for the mixed selection | |
//! | gradient (`gradient.rs`) | every `size`-th vector of an orbit | an orbit, by a team |
//!
//! That is three launches without a norm, four with one, five for the mixed selection. `orbit.rs` indexes, `slices.rs` reduces.
//!
//! **Order of sums**: a unit's items, then the units of a cube, then the slices of a sample, all of them functions of the maps' shape
//! and the vectors' width; the batch has no say. Of every transform the same positions are added in the same order, so that exact ties stay ties.
//!
//! **Why this shape.** One unit a sample, the CPU's way, put 32 units of one cube to work on 32 maps of 14 x 14 x 512, far apart in
//! memory: floors of 3,087 us (hard) to 5,702 us (mixed) on the H100 of `docs/results/gpu-shape.md`, now 8.3 and 10.2 us for 11.5 us of bytes.
//! The eight vectors that wait for their partners take 72 to 128 registers, which leaves a multiprocessor 25 to 43 % of its warps, with
//! sixteen loads of 128 bits from each unit on their way. Terms of a sum are added by lane into one number: a vector for each transform would take
//! another 24 registers.
//!
//! **Lost**: two vectors a unit in a gradient of eight targets, as teams have elsewhere. Half the cubes had twice the work: a floor of 0.8 us for
//! 64 maps of 2 x 2 x 512, where one vector takes 0.4.
//!
//! **What is left**: of maps of 2 x 2 there is one orbit, so that 64 cubes do all, in 160 to 960 instructions a launch one after the other: floors
//! of 1.0 to 1.8 us for 0.5 us of bytes. A launch less, by choosing in the cubes that go on, would repeat the choice in all of them.
//!
//! **Not timed**: see [`crate::team`].

mod gradient;
mod norms;
mod orbit;
mod select;
mod slices;
mod sums;

use super::maps::{Blueprint, ExtentLaunch, ViewsLaunch};
use super::{FlipAlignment, FlipProblem, Normalisation, OP};
use crate::lanes::Lanes;
use crate::loss::log_space::series_terms;
use crate::{Client, KernelError, Tensor};
use sums::Partials;

/// What the launches tell each other of a sample, and where it stands.
mod notes {
    use super::super::maps::Blueprint;

    /// The reciprocals of the norms per sample.
    pub const STUDENT_SCALE: usize = 0;
    pub const TEACHER_SCALE: usize = 1;
    /// `<a^, e>` under the norm per sample.
    pub const INNER: usize = 2;
    /// What the teacher's targets are multiplied by, and behind them, for the mixed selection, the student's.
    pub const SLOPES: usize = 3;

    /// Numbers of a sample.
    pub fn len(blueprint: &Blueprint) -> usize {
        SLOPES + 2 * blueprint.targets()
    }
}

/// Both maps, as every launch takes them.
struct Maps<'a> {
    problem: &'a FlipProblem,
    student: &'a Tensor,
    teacher: &'a Tensor,
    lanes: Lanes,
    blueprint: Blueprint,
}

impl Maps<'_> {
    fn client(&self) -> &Client {
        self.student.client()
    }

    fn views(&self) -> ViewsLaunch {
        ViewsLaunch::new(self.student.view(), self.teacher.view())
    }

    fn extent(&self) -> ExtentLaunch {
        let problem = self.problem;
        ExtentLaunch::new(
            problem.height,
            problem.width,
            problem.channels,
            self.lanes.vectors(),
        )
    }
}

/// Launches everything into `out`, on a device that is no CPU.
pub(super) fn launch_by_orbits(
    problem: &FlipProblem,
    student: &Tensor,
    teacher: &Tensor,
    out: &FlipAlignment,
) -> Result<(), KernelError> {
    let (client, dtype) = (student.client(), problem.dtype);
    let accumulator = dtype.accumulator();
    let maps = Maps {
        problem,
        student,
        teacher,
        lanes: Lanes::apart(
            client,
            dtype,
            problem.channels,
            &[student, teacher, &out.grad],
        ),
        blueprint: Blueprint::new(problem, false, series_terms(accumulator)),
    };
    let shape = [problem.batch, notes::len(&maps.blueprint)];
    let noted = Tensor::room(OP, "scratch", client, &shape, accumulator)?;
    let norms = match problem.options.normalisation {
        Normalisation::None => Partials {
            sums: Tensor::empty(client, &[1], accumulator),
            slices: 0,
        },
        Normalisation::Sample => sums::launch_squares(&maps)?,
        Normalisation::Position => norms::launch_position_norms(&maps)?,
    };
    let differences = sums::launch_differences(&maps, &norms, &noted, out)?;
    select::launch_choice(&maps, &differences, &noted, out);
    if maps.blueprint.rule == super::maps::Rule::Mixed {
        let residuals = sums::launch_residuals(&maps, out)?;
        select::launch_mixture(&maps, &residuals, &noted, out);
    }
    gradient::launch_gradient(&maps, &norms, &noted, out);
    Ok(())
}
