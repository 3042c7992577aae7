use super::{DualTeacherOptions, DualTeacherProblem, team};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::clamp::at_least;
use crate::lanes::Lanes;
use crate::loss::row::{exponential_sum, row_max};
use crate::special::is_nan;
use crate::team::{Team, Teams, pair};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// The largest logit and the sum of exponentials of each row of both teachers. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn rows_kernel<S: Float, F: Float, B: Size, N: Size>(
    first_teacher: &[Vector<S, B>],
    second_teacher: &[Vector<S, B>],
    _unaligned: &[S],
    rows: &mut [F],
    inverse_t: InputScalar,
    batch: usize,
    classes: usize,
    vectors: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let t = inverse_t.get::<F>();
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * classes;
        let max = row_max::<S, F, B, N>(first_teacher, start, classes, vectors, t);
        rows[4 * n] = max;
        rows[4 * n + 1] =
            exponential_sum::<S, F, B, N>(first_teacher, start, classes, vectors, max, t);
        let max = row_max::<S, F, B, N>(second_teacher, start, classes, vectors, t);
        rows[4 * n + 2] = max;
        rows[4 * n + 3] =
            exponential_sum::<S, F, B, N>(second_teacher, start, classes, vectors, max, t);
    }
}

/// Launches the statistics of each row into `rows` `[n, 4]`.
pub(super) fn launch_rows(problem: &DualTeacherProblem, logits: &[Tensor; 2], rows: &Tensor) {
    let &DualTeacherProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let [first, second] = logits;
    let client = first.client();
    let temperature = planted::or("dual_teacher_hard_confidence", options.temperature, 1.0);
    if !launch::is_cpu(client) {
        return team::launch_rows(problem, logits, temperature, rows);
    }
    let lanes = Lanes::of(client, dtype, classes, &[first, second]);
    let grid = launch::grid_for(client, batch, batch * classes);
    // SAFETY: both hold `batch` rows of `classes` logits.
    unsafe {
        rows_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(first),
            lanes.arg(second),
            lanes.unaligned(first),
            rows.arg(1),
            dtype.scalar(1.0 / temperature),
            batch,
            classes,
            lanes.vectors(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// The literals of the rule, as [`DualTeacherOptions`] names them.
#[derive(CubeLaunch, CubeType)]
struct Rule {
    low: InputScalar,
    high: InputScalar,
    minimum: InputScalar,
    even: InputScalar,
    lesser: InputScalar,
    greater: InputScalar,
}

#[cube]
impl Rule {
    /// Writes the confidences `c1` and `c2`, and the weights that follow from them.
    fn apply<F: Float>(&self, weights: &mut [F], c1: F, c2: F) {
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
        let weak = at_least::<F, Const<2>>(weak, Vector::new(minimum));
        let alpha = select(neither, weak.extract(0usize), alpha);
        let beta = select(neither, weak.extract(1usize), beta);
        let lost = c1 < low && c2 < low;
        // A NaN is below no threshold: it would pass for full confidence.
        let nan = is_nan::<F>(c1 + c2);
        weights[0] = c1;
        weights[1] = c2;
        weights[2] = select(nan, c1 + c2, select(lost, zero, alpha));
        weights[3] = select(nan, c1 + c2, select(lost, zero, beta));
    }
}

/// The confidences added up by one team, where units are many, and the rule.
#[cube(launch_unchecked)]
fn rule_by_team<F: Float>(
    rows: &[F],
    weights: &mut [F],
    rule: Rule,
    mean: InputScalar,
    batch: usize,
    team: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let one = F::new(1.0f32);
    let mean = mean.get::<F>();
    let mut team = Team::<F, Const<2>>::new(1usize, team);
    let mut sums = Vector::<F, Const<2>>::new(F::new(0.0f32));
    let mut n = team.unit;
    while n < batch {
        let mut parts = Vector::<F, Const<2>>::new(F::new(0.0f32));
        let end = team.block(n, batch);
        while n < end {
            // The largest softmax is that of the largest logit, whose exponential is 1.
            parts += pair::<F>(one / rows[4 * n + 1], one / rows[4 * n + 3]);
            n += team.size;
        }
        sums += parts;
    }
    let sums = team.sum(sums);
    if team.leads() {
        rule.apply::<F>(
            weights,
            sums.extract(0usize) * mean,
            sums.extract(1usize) * mean,
        );
    }
}

/// The first unit adds the confidences of the rows in blocks, and applies the rule.
#[cube(launch_unchecked)]
fn rule_kernel<F: Float>(
    rows: &[F],
    weights: &mut [F],
    rule: Rule,
    mean: InputScalar,
    batch: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    if ABSOLUTE_POS == 0 {
        let one = F::new(1.0f32);
        let mean = mean.get::<F>();
        let mut sums = Cascade::<F, Const<2>>::new();
        for block in 0..blocks(batch) {
            let mut parts = Vector::<F, Const<2>>::new(F::new(0.0f32));
            for n in block_start(block)..block_end(block, batch) {
                // The largest softmax is that of the largest logit, whose exponential is 1.
                parts += pair::<F>(one / rows[4 * n + 1], one / rows[4 * n + 3]);
            }
            sums.add(parts);
        }
        let sums = sums.total();
        rule.apply::<F>(
            weights,
            sums.extract(0usize) * mean,
            sums.extract(1usize) * mean,
        );
    }
}

/// Launches confidences and weights into `weights` `[4]`; `batch` is at least 1.
pub(super) fn launch_rule(problem: &DualTeacherProblem, rows: &Tensor, weights: &Tensor) {
    let &DualTeacherProblem {
        batch,
        options,
        dtype,
        ..
    } = problem;
    let DualTeacherOptions {
        low,
        high,
        minimum,
        even,
        lesser,
        greater,
        ..
    } = options;
    let (lesser, greater) =
        planted::or("dual_teacher_swapped", (lesser, greater), (greater, lesser));
    let rule = RuleLaunch::new(
        dtype.scalar(low),
        dtype.scalar(high),
        dtype.scalar(minimum),
        dtype.scalar(even),
        dtype.scalar(lesser),
        dtype.scalar(greater),
    );
    let client = rows.client();
    let mean = dtype.scalar(1.0 / batch as f64);
    if !launch::is_cpu(client) {
        let teams = Teams::of(client, 1, batch);
        // SAFETY: the kernel stops at the last row.
        unsafe {
            rule_by_team::launch_unchecked(
                client,
                teams.count,
                teams.dim,
                rows.arg(1),
                weights.arg(1),
                rule,
                mean,
                batch,
                teams.size,
                dtype.accumulator().elem(),
            );
        }
        return launch::throttle(client);
    }
    let grid = launch::grid(client, 1);
    // SAFETY: the kernel stops at the last row.
    unsafe {
        rule_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            rows.arg(1),
            weights.arg(1),
            rule,
            mean,
            batch,
            dtype.accumulator().elem(),
        );
    }
    launch::throttle(client);
}
