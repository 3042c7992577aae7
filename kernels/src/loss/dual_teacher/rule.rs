//! From two confidences to two weights and three factors.

use super::{DualTeacherProblem, Rule, Scope, Thresholds, Weighed};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::clamp::at_least;
use crate::special::is_nan;
use crate::team::{Team, Teams, pair};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// Two numbers of a teacher each.
pub(super) type Pair = Const<2>;

/// What is compiled for a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Blueprint {
    proportional: bool,
    /// Whether each sample is weighed by itself.
    pub by_sample: bool,
}

impl Blueprint {
    pub fn of(problem: &DualTeacherProblem) -> Self {
        Self {
            proportional: problem.options.rule == Rule::Proportional,
            by_sample: problem.options.scope == Scope::Sample,
        }
    }
}

/// [`Thresholds`], as a kernel argument.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Literals {
    low: InputScalar,
    high: InputScalar,
    minimum: InputScalar,
    even: InputScalar,
    lesser: InputScalar,
    greater: InputScalar,
}

impl Literals {
    pub fn of(problem: &DualTeacherProblem) -> LiteralsLaunch {
        let Thresholds {
            low,
            high,
            minimum,
            even,
            lesser,
            greater,
        } = match problem.options.rule {
            Rule::Thresholds(thresholds) => thresholds,
            // No kernel of that rule reads them.
            Rule::Proportional => Thresholds::default(),
        };
        let (lesser, greater) =
            planted::or("dual_teacher_swapped", (lesser, greater), (greater, lesser));
        let scalar = |value| problem.dtype.scalar(value);
        LiteralsLaunch::new(
            scalar(low),
            scalar(high),
            scalar(minimum),
            scalar(even),
            scalar(lesser),
            scalar(greater),
        )
    }
}

#[cube]
impl Literals {
    /// The weights that follow from the confidences `c1` and `c2`.
    fn weights<F: Float>(&self, c1: F, c2: F) -> Vector<F, Pair> {
        let zero = F::new(0.0f32);
        let (low, high) = (self.low.get::<F>(), self.high.get::<F>());
        let (minimum, even) = (self.minimum.get::<F>(), self.even.get::<F>());
        let (lesser, greater) = (self.lesser.get::<F>(), self.greater.get::<F>());
        let short_of = even - high;
        let alpha = select(c2 < high, greater, even);
        let beta = select(c2 < high, lesser, even);
        let alpha = select(c1 < high, lesser, alpha);
        let beta = select(c1 < high, greater, beta);
        let neither = c1 < high && c2 < high;
        let weak = pair::<F>(short_of + c1, short_of + c2);
        let weak = at_least::<F, Pair>(weak, Vector::new(minimum));
        let alpha = select(neither, weak.extract(0usize), alpha);
        let beta = select(neither, weak.extract(1usize), beta);
        let lost = c1 < low && c2 < low;
        // A NaN is below no threshold: it would pass for full confidence.
        let nan = is_nan::<F>(c1 + c2);
        pair::<F>(
            select(nan, c1 + c2, select(lost, zero, alpha)),
            select(nan, c1 + c2, select(lost, zero, beta)),
        )
    }

    /// Writes weights and factors number `n` that follow from the confidences `c1` and `c2`.
    pub fn apply<F: Float>(
        &self,
        weights: &mut [F],
        factors: &mut [F],
        n: usize,
        c1: F,
        c2: F,
        #[comptime] blueprint: Blueprint,
    ) {
        let chosen = if comptime!(blueprint.proportional) {
            pair::<F>(c1 / (c1 + c2), c2 / (c1 + c2))
        } else {
            self.weights::<F>(c1, c2)
        };
        let (alpha, beta) = (chosen.extract(0usize), chosen.extract(1usize));
        let soft = (alpha + beta) * F::new(0.5f32);
        weights[4 * n] = c1;
        weights[4 * n + 1] = c2;
        weights[4 * n + 2] = alpha;
        weights[4 * n + 3] = beta;
        let of_teachers = if comptime!(planted::is("dual_teacher_weight_once")) {
            F::new(1.0f32)
        } else {
            soft
        };
        factors[3 * n] = F::new(1.0f32) - soft;
        factors[3 * n + 1] = of_teachers * alpha;
        factors[3 * n + 2] = of_teachers * beta;
    }
}

/// The confidences `[n, 2]` added up by one team, where units are many, and the rule.
#[cube(launch_unchecked)]
fn batch_by_team<F: Float>(
    confidences: &[F],
    weights: &mut [F],
    factors: &mut [F],
    literals: Literals,
    mean: InputScalar,
    batch: usize,
    team: usize,
    #[comptime] blueprint: Blueprint,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let mean = mean.get::<F>();
    let mut team = Team::<F, Pair>::new(1usize, team);
    let mut sums = Vector::<F, Pair>::new(F::new(0.0f32));
    let mut n = team.unit;
    while n < batch {
        let mut parts = Vector::<F, Pair>::new(F::new(0.0f32));
        let end = team.block(n, batch);
        while n < end {
            parts += pair::<F>(confidences[2 * n], confidences[2 * n + 1]);
            n += team.size;
        }
        sums += parts;
    }
    let sums = team.sum(sums);
    if team.leads() {
        let (c1, c2) = (sums.extract(0usize) * mean, sums.extract(1usize) * mean);
        literals.apply::<F>(weights, factors, 0usize, c1, c2, blueprint);
    }
}

/// The first unit adds the confidences `[n, 2]` in blocks, and applies the rule.
#[cube(launch_unchecked)]
fn batch_kernel<F: Float>(
    confidences: &[F],
    weights: &mut [F],
    factors: &mut [F],
    literals: Literals,
    mean: InputScalar,
    batch: usize,
    #[comptime] blueprint: Blueprint,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    if ABSOLUTE_POS == 0 {
        let mean = mean.get::<F>();
        let mut sums = Cascade::<F, Pair>::new();
        for block in 0..blocks(batch) {
            let mut parts = Vector::<F, Pair>::new(F::new(0.0f32));
            for n in block_start(block)..block_end(block, batch) {
                parts += pair::<F>(confidences[2 * n], confidences[2 * n + 1]);
            }
            sums.add(parts);
        }
        let sums = sums.total();
        let (c1, c2) = (sums.extract(0usize) * mean, sums.extract(1usize) * mean);
        literals.apply::<F>(weights, factors, 0usize, c1, c2, blueprint);
    }
}

/// Launches the weights and factors of the batch, of at least one sample.
pub(super) fn launch_batch(problem: &DualTeacherProblem, confidences: &Tensor, found: &Weighed) {
    let &DualTeacherProblem { batch, dtype, .. } = problem;
    let client = confidences.client();
    let mean = dtype.scalar(1.0 / batch as f64);
    let blueprint = Blueprint::of(problem);
    if !launch::is_cpu(client) {
        let teams = Teams::of(client, 1, batch);
        // SAFETY: the kernel stops at the last row.
        unsafe {
            batch_by_team::launch_unchecked(
                client,
                teams.count,
                teams.dim,
                confidences.arg(1),
                found.weights.arg(1),
                found.factors.arg(1),
                Literals::of(problem),
                mean,
                batch,
                teams.size,
                blueprint,
                dtype.accumulator().elem(),
            );
        }
        return launch::throttle(client);
    }
    let grid = launch::grid(client, 1);
    // SAFETY: the kernel stops at the last row.
    unsafe {
        batch_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            confidences.arg(1),
            found.weights.arg(1),
            found.factors.arg(1),
            Literals::of(problem),
            mean,
            batch,
            blueprint,
            dtype.accumulator().elem(),
        );
    }
    launch::throttle(client);
}
