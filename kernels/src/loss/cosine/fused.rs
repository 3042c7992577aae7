use super::angle::{Norms, One, Scalars, ScalarsLaunch, along_sample};
use super::{Comparison, CosineOptions, CosineProblem, OP, team};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::loss::LossAndGrad;
use crate::loss::row::{element, fresh, row_max, where_finite};
use crate::{DType, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// [`Comparison`] as the kernel's variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::loss) enum Blueprint {
    Rows,
    CentredRows,
    Softmaxes,
}

/// Where one unit's sample lies.
#[derive(CubeType, Clone, Copy)]
pub(in crate::loss) struct Sample {
    /// The element at which it starts.
    pub start: usize,
    pub length: usize,
    /// Vectors of it.
    pub vectors: usize,
    /// Two rows of scratch, `pitch` elements apart, for vectors that are not the rows themselves.
    pub kept: usize,
    pub pitch: usize,
}

/// One unit owns a run of samples. `kept` has two rows for each unit, `pitch` elements apart.
#[cube(launch_unchecked)]
fn fused<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    _unaligned: &[S],
    kept: &mut [Vector<F, B>],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    scalars: Scalars,
    batch: usize,
    length: usize,
    vectors: usize,
    pitch: usize,
    run: usize,
    #[comptime] blueprint: Blueprint,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let weight = scalars.weight.get::<F>();
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let sample = Sample {
            start: n * length,
            length,
            vectors,
            kept: 2 * ABSOLUTE_POS * pitch,
            pitch,
        };
        loss[n] = turn_sample::<S, F, B, N>(
            student, teacher, kept, grad, &scalars, weight, &sample, blueprint, false,
        );
    }
}

/// Writes a sample's gradient, or adds it to what is there, and returns its loss.
#[cube]
pub(in crate::loss) fn turn_sample<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    kept: &mut [Vector<F, B>],
    grad: &mut [Vector<F, B>],
    scalars: &Scalars,
    weight: F,
    sample: &Sample,
    #[comptime] blueprint: Blueprint,
    #[comptime] added: bool,
) -> F {
    let inverse_t = scalars.inverse_t.get::<F>();
    let (start, length, vectors) = (sample.start, sample.length, sample.vectors);
    let (own, pitch) = (sample.kept, sample.pitch);
    if comptime!(blueprint == Blueprint::Rows) {
        turn::<S, F, B, N>(
            student, teacher, start, start, grad, scalars, weight, sample, blueprint, added,
        )
    } else {
        if comptime!(blueprint == Blueprint::CentredRows) {
            centre::<S, F, B, N>(student, start, kept, own, length, vectors);
            centre::<S, F, B, N>(teacher, start, kept, own + pitch, length, vectors);
        } else {
            soften::<S, F, B, N>(student, start, kept, own, length, vectors, inverse_t);
            soften::<S, F, B, N>(
                teacher,
                start,
                kept,
                own + pitch,
                length,
                vectors,
                inverse_t,
            );
        }
        let rows = kept.slice(0usize, (own + 2 * pitch) / B::value());
        turn::<F, F, B, N>(
            rows,
            rows,
            own,
            own + pitch,
            grad,
            scalars,
            weight,
            sample,
            blueprint,
            added,
        )
    }
}

/// [`turn_sample`] for the vectors that start at `offset_u` of `student` and at `offset_w` of `teacher`.
#[cube]
fn turn<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    teacher: &[Vector<S, B>],
    offset_u: usize,
    offset_w: usize,
    grad: &mut [Vector<F, B>],
    scalars: &Scalars,
    weight: F,
    sample: &Sample,
    #[comptime] blueprint: Blueprint,
    #[comptime] added: bool,
) -> F {
    let (start, length, vectors) = (sample.start, sample.length, sample.vectors);
    let u_square = square_sum::<S, F, B, N>(student, offset_u, length, vectors);
    let w_square = square_sum::<S, F, B, N>(teacher, offset_w, length, vectors);
    let epsilon = scalars.epsilon.get::<F>();
    let norms = Norms::<F, One>::new(Vector::new(u_square), Vector::new(w_square), epsilon);
    let ratio = norms.ratio.extract(0usize);
    let apart =
        square_distance::<S, F, B, N>(student, offset_u, teacher, offset_w, length, vectors, ratio);
    let turned = norms.turned(Vector::new(apart), Vector::new(weight));
    let turned = along_sample::<F, N>(&turned);
    for v in 0..vectors {
        let offset = channel::<N>(v, length);
        let u = load::<S, F, B, N>(student, offset_u + offset);
        let w = load::<S, F, B, N>(teacher, offset_w + offset);
        let mut g = turned.pull(u, w);
        if comptime!(blueprint == Blueprint::Softmaxes) {
            g *= u * Vector::new(scalars.inverse_t.get::<F>());
        }
        if comptime!(added && !planted::is("distill_cosine_overwrites")) {
            // What the vector before holds too, it has added.
            let there = load::<F, F, B, N>(&*grad, start + offset);
            g = select_many(fresh::<N>(v, offset), there + g, there);
        }
        store::<F, F, B, N>(grad, start + offset, g);
    }
    turned.loss.extract(0usize)
}

/// Writes the row less its mean, zeros where all elements are equal.
#[cube]
fn centre<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    out: &mut [Vector<F, B>],
    to: usize,
    length: usize,
    vectors: usize,
) {
    let zero = F::new(0.0f32);
    let share = F::new(1.0f32) / F::cast_from(length);
    // The mean of a row far from 0 is rounded by more than its elements may differ. What is left of them without it is small, and
    // so is the rounding of that's mean.
    let mean = sum::<S, F, B, N>(x, start, length, vectors, zero) * share;
    let rest = sum::<S, F, B, N>(x, start, length, vectors, mean) * share;
    // Equal elements have no direction; what rounding leaves of them would have one.
    let level = element::<S, F, B>(x, start, 0usize);
    let flat = spread::<S, F, B, N>(x, start, length, vectors, level) == zero;
    let (mean, rest) = centres::<F>(flat, level, mean, rest);
    let mean = Vector::<F, N>::new(mean);
    let rest = Vector::<F, N>::new(rest);
    for v in 0..vectors {
        let offset = channel::<N>(v, length);
        let z = load::<S, F, B, N>(x, start + offset);
        store::<F, F, B, N>(out, to + offset, (z - mean) - rest);
    }
}

/// What is taken from a row, one after the other: its mean and what that leaves, or, where it is flat, its elements' value.
#[cube]
pub(super) fn centres<F: Float>(flat: bool, level: F, mean: F, rest: F) -> (F, F) {
    let mean = select(flat, level, mean);
    let rest = select(flat, F::new(0.0f32), rest);
    let rest = if comptime!(crate::planted::is("cosine_centre")) {
        rest + mean
    } else {
        rest
    };
    (mean, rest)
}

/// Writes the row's softmax but for a factor: its largest element is 1.
#[cube]
fn soften<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    out: &mut [Vector<F, B>],
    to: usize,
    length: usize,
    vectors: usize,
    inverse_t: F,
) {
    let max = row_max::<S, F, B, N>(x, start, length, vectors, inverse_t);
    let max = Vector::<F, N>::new(max);
    let scale = Vector::<F, N>::new(inverse_t);
    for v in 0..vectors {
        let offset = channel::<N>(v, length);
        let z = load::<S, F, B, N>(x, start + offset);
        store::<F, F, B, N>(out, to + offset, ((z - max) * scale).exp());
    }
}

/// The sum of `x - origin` over a row.
#[cube]
fn sum<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    length: usize,
    vectors: usize,
    origin: F,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(vectors) {
        let mut part = zero;
        for v in block_start(block)..block_end(block, vectors) {
            let offset = channel::<N>(v, length);
            let shifted = load::<S, F, B, N>(x, start + offset) - Vector::new(origin);
            part += select_many(fresh::<N>(v, offset), shifted, zero);
        }
        sum.add(part);
    }
    sum.total().vector_sum()
}

/// The sum of `|x - origin|` over a row: 0 where all elements are `origin`.
#[cube]
fn spread<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    length: usize,
    vectors: usize,
    origin: F,
) -> F {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for v in 0..vectors {
        let z = load::<S, F, B, N>(x, start + channel::<N>(v, length));
        sum += (z - Vector::new(origin)).abs();
    }
    sum.vector_sum()
}

/// The sum of the row's squares; NaN where it is infinite.
#[cube]
fn square_sum<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    start: usize,
    length: usize,
    vectors: usize,
) -> F {
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(vectors) {
        let mut part = Vector::<F, N>::new(F::new(0.0f32));
        for v in block_start(block)..block_end(block, vectors) {
            let offset = channel::<N>(v, length);
            let u = load::<S, F, B, N>(x, start + offset);
            part = select_many(fresh::<N>(v, offset), fma(u, u, part), part);
        }
        sum.add(part);
    }
    let total = sum.total().vector_sum();
    where_finite::<F>(total, total)
}

/// The squared distance between the student's vector and the teacher's times `ratio`; NaN where it is infinite.
#[cube]
fn square_distance<S: Float, F: Float, B: Size, N: Size>(
    student: &[Vector<S, B>],
    offset_u: usize,
    teacher: &[Vector<S, B>],
    offset_w: usize,
    length: usize,
    vectors: usize,
    ratio: F,
) -> F {
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(vectors) {
        let mut part = Vector::<F, N>::new(F::new(0.0f32));
        for v in block_start(block)..block_end(block, vectors) {
            let offset = channel::<N>(v, length);
            let u = load::<S, F, B, N>(student, offset_u + offset);
            let w = load::<S, F, B, N>(teacher, offset_w + offset);
            let d = u - w * Vector::new(ratio);
            part = select_many(fresh::<N>(v, offset), fma(d, d, part), part);
        }
        sum.add(part);
    }
    let total = sum.total().vector_sum();
    where_finite::<F>(total, total)
}

impl CosineOptions {
    /// The kernel's variant.
    pub(in crate::loss) fn blueprint(&self) -> Blueprint {
        match self.between {
            Comparison::Rows => Blueprint::Rows,
            Comparison::CentredRows => Blueprint::CentredRows,
            Comparison::Softmaxes(_) => Blueprint::Softmaxes,
        }
    }

    /// What a kernel for `batch` samples multiplies by.
    pub(in crate::loss) fn scalars(&self, batch: usize, dtype: DType) -> ScalarsLaunch {
        // A softmax is never short: its largest element is 1 before the division.
        let (epsilon, temperature) = match self.between {
            Comparison::Rows | Comparison::CentredRows => (self.epsilon, 1.0),
            Comparison::Softmaxes(temperature) => (0.0, temperature),
        };
        let inverse_t = planted::or("cosine_temperature", 1.0 / temperature, 1.0);
        ScalarsLaunch::new(
            dtype.scalar(planted::or("cosine_epsilon", epsilon, 0.0)),
            dtype.scalar(inverse_t),
            dtype.scalar(self.weight / batch as f64),
        )
    }
}

/// Launches loss and gradient into `out`.
pub(super) fn launch_fused(
    problem: &CosineProblem,
    student: &Tensor,
    teacher: &Tensor,
    out: &LossAndGrad,
) -> Result<(), KernelError> {
    let client = student.client();
    let &CosineProblem {
        batch,
        length,
        options,
        dtype,
    } = problem;
    if !launch::is_cpu(client) {
        team::launch_by_teams(problem, [student, teacher], out);
        return Ok(());
    }
    let lanes = Lanes::of(client, dtype, length, &[student, teacher, &out.grad]);
    let grid = launch::grid_for(client, batch, batch * length);
    let pitch = length.next_multiple_of(lanes.width);
    let blueprint = options.blueprint();
    let rows = if blueprint == Blueprint::Rows {
        0
    } else {
        2 * grid.units
    };
    let kept = Tensor::room(OP, "scratch", client, &[rows, pitch], dtype.accumulator())?;
    // SAFETY: the problem relates the extents: student, teacher and gradient hold `batch` rows of `length` elements, and `kept` two
    // for every unit that reads it.
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
            lanes.arg(&kept),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            options.scalars(batch, dtype),
            batch,
            length,
            lanes.vectors(),
            pitch,
            grid.run,
            blueprint,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
