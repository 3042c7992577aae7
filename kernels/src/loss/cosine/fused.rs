use super::{Between, CosineProblem};
use crate::lanes::{Lanes, channel, load, store};
use crate::loss::LossAndGrad;
use crate::loss::row::{BLOCK, element, fresh, row_max, where_finite};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// [`Between`] as the kernel's variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Rows,
    CentredRows,
    Softmaxes,
}

/// What turns an element of a row into one of the vector that is compared: `(x - origin) - offset`, or `exp((x - origin) inverse_t)`,
/// the softmax but for its length.
#[derive(CubeType, Clone, Copy)]
struct Frame<F: Float> {
    origin: F,
    offset: F,
    inverse_t: F,
}

/// One unit owns a run of samples. `mean` is 1 over the batch.
#[cube(launch_unchecked)]
fn fused<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    _anywhere: &[F],
    loss: &mut [F],
    grad: &mut [Vector<F, B>],
    epsilon: InputScalar,
    inverse_t: InputScalar,
    mean: InputScalar,
    batch: usize,
    length: usize,
    vectors: usize,
    run: usize,
    #[comptime] of: Of,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let epsilon = epsilon.get::<F>();
    let inverse_t = inverse_t.get::<F>();
    let mean = mean.get::<F>();
    let one = F::new(1.0f32);
    let half = F::new(0.5f32);
    let zero = F::new(0.0f32);
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, batch);
    for n in first..last {
        let start = n * length;
        let s = frame::<F, B, N>(student, start, length, vectors, inverse_t, of);
        let t = frame::<F, B, N>(teacher, start, length, vectors, inverse_t, of);
        let s_square = square_sum::<F, B, N>(student, start, length, vectors, &s, of);
        let t_square = square_sum::<F, B, N>(teacher, start, length, vectors, &t, of);
        let s_norm = s_square.sqrt();
        let t_norm = t_square.sqrt();
        let s_short = s_norm < epsilon;
        let t_short = t_norm < epsilon;
        let s_divisor = select(s_short, epsilon, s_norm);
        let t_divisor = select(t_short, epsilon, t_norm);
        let s_share = one / s_divisor;
        // The teacher's vector at the student's length: where it is the student's, their difference is 0, however it is rounded.
        let ratio = s_divisor / t_divisor;
        // 1 - |u|^2 of the divided vectors: nothing but rounding, unless the divisor was epsilon.
        let s_lack = select(s_short, one - s_square * s_share * s_share, zero);
        let t_lack = select(t_short, one - t_square / (t_divisor * t_divisor), zero);
        let apart =
            square_distance::<F, B, N>(student, teacher, start, length, vectors, &s, &t, ratio, of);
        let doubt = (apart * s_share * s_share + s_lack + t_lack) * half;
        loss[n] = doubt * mean;

        // The derivative of a length that is not the divisor is none.
        let along = Vector::<F, N>::new(select(s_short, one, doubt));
        let ratio = Vector::<F, N>::new(ratio);
        // A softmax that is 1 in its largest element is short of the true one by a factor, which cancels but for one share.
        let by = if comptime!(of == Of::Softmaxes) {
            s_share * s_share * inverse_t * mean
        } else {
            s_share * s_share * mean
        };
        let by = Vector::<F, N>::new(by);
        for v in 0..vectors {
            let at = start + channel::<N>(v, length);
            let u = vector::<F, B, N>(student, at, &s, of);
            let w = vector::<F, B, N>(teacher, at, &t, of);
            let mut g = ((u - w * ratio) - along * u) * by;
            if comptime!(of == Of::Softmaxes) {
                g *= u;
            }
            store::<F, B, N>(grad, at, g);
        }
    }
}

/// The vector of the compared elements that starts at element `at` of the buffer.
#[cube]
fn vector<F: Float, B: Size, N: Size>(
    x: &[Vector<F, B>],
    at: usize,
    frame: &Frame<F>,
    #[comptime] of: Of,
) -> Vector<F, N> {
    let z = load::<F, B, N>(x, at);
    if comptime!(of == Of::Rows) {
        z
    } else if comptime!(of == Of::CentredRows) {
        (z - Vector::new(frame.origin)) - Vector::new(frame.offset)
    } else {
        ((z - Vector::new(frame.origin)) * Vector::new(frame.inverse_t)).exp()
    }
}

/// Reads a row for its mean or its maximum.
#[cube]
fn frame<F: Float, B: Size, N: Size>(
    x: &[Vector<F, B>],
    start: usize,
    length: usize,
    vectors: usize,
    inverse_t: F,
    #[comptime] of: Of,
) -> Frame<F> {
    let zero = F::new(0.0f32);
    let mut frame = Frame::<F> {
        origin: zero,
        offset: zero,
        inverse_t,
    };
    if comptime!(of == Of::CentredRows) {
        let share = F::new(1.0f32) / F::cast_from(length);
        // The rounded mean of a row far from 0 is off by more than its elements may differ. What is left around it is small, and so
        // is the error of that's mean.
        let origin = sum::<F, B, N>(x, start, length, vectors, zero) * share;
        let offset = sum::<F, B, N>(x, start, length, vectors, origin) * share;
        // Equal elements have no direction, not that of the mean's rounding.
        let level = element::<F, B>(x, start, 0usize);
        let flat = spread::<F, B, N>(x, start, length, vectors, level) == zero;
        frame.origin = select(flat, level, origin);
        frame.offset = select(flat, zero, offset);
    }
    if comptime!(of == Of::Softmaxes) {
        frame.origin = row_max::<F, B, N>(x, start, length, vectors, inverse_t);
    }
    frame
}

/// The sum of `x - origin` over a row.
#[cube]
fn sum<F: Float, B: Size, N: Size>(
    x: &[Vector<F, B>],
    start: usize,
    length: usize,
    vectors: usize,
    origin: F,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = zero;
    for block in 0..(vectors + BLOCK - 1) / BLOCK {
        let mut part = zero;
        for v in block * BLOCK..min(block * BLOCK + BLOCK, vectors) {
            let at = channel::<N>(v, length);
            let shifted = load::<F, B, N>(x, start + at) - Vector::new(origin);
            part += select_many(fresh::<N>(v, at), shifted, zero);
        }
        sum += part;
    }
    sum.vector_sum()
}

/// The sum of `|x - origin|` over a row: 0 where all elements are `origin`.
#[cube]
fn spread<F: Float, B: Size, N: Size>(
    x: &[Vector<F, B>],
    start: usize,
    length: usize,
    vectors: usize,
    origin: F,
) -> F {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for v in 0..vectors {
        let z = load::<F, B, N>(x, start + channel::<N>(v, length));
        sum += (z - Vector::new(origin)).abs();
    }
    sum.vector_sum()
}

/// The squared norm of a row's vector; NaN where it is infinite.
#[cube]
fn square_sum<F: Float, B: Size, N: Size>(
    x: &[Vector<F, B>],
    start: usize,
    length: usize,
    vectors: usize,
    frame: &Frame<F>,
    #[comptime] of: Of,
) -> F {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = zero;
    for block in 0..(vectors + BLOCK - 1) / BLOCK {
        let mut part = zero;
        for v in block * BLOCK..min(block * BLOCK + BLOCK, vectors) {
            let at = channel::<N>(v, length);
            let u = vector::<F, B, N>(x, start + at, frame, of);
            part = select_many(fresh::<N>(v, at), fma(u, u, part), part);
        }
        sum += part;
    }
    let total = sum.vector_sum();
    where_finite::<F>(total, total)
}

/// The squared distance between the student's vector and the teacher's times `ratio`; NaN where it is infinite.
#[cube]
fn square_distance<F: Float, B: Size, N: Size>(
    student: &[Vector<F, B>],
    teacher: &[Vector<F, B>],
    start: usize,
    length: usize,
    vectors: usize,
    s: &Frame<F>,
    t: &Frame<F>,
    ratio: F,
    #[comptime] of: Of,
) -> F {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for block in 0..(vectors + BLOCK - 1) / BLOCK {
        let mut part = Vector::<F, N>::new(F::new(0.0f32));
        for v in block * BLOCK..min(block * BLOCK + BLOCK, vectors) {
            let at = channel::<N>(v, length);
            let u = vector::<F, B, N>(student, start + at, s, of);
            let w = vector::<F, B, N>(teacher, start + at, t, of);
            let d = u - w * Vector::new(ratio);
            part = select_many(fresh::<N>(v, at), fma(d, d, part), part);
        }
        sum += part;
    }
    let total = sum.vector_sum();
    where_finite::<F>(total, total)
}

/// Launches loss and gradient into `out`.
pub(super) fn launch_fused(
    problem: &CosineProblem,
    student: &Tensor,
    teacher: &Tensor,
    out: &LossAndGrad,
) {
    let client = student.client();
    let &CosineProblem {
        batch,
        length,
        options,
        dtype,
    } = problem;
    // A softmax is never short: its largest element is 1 before the division.
    let (of, epsilon, temperature) = match options.between {
        Between::Rows => (Of::Rows, options.epsilon, 1.0),
        Between::CentredRows => (Of::CentredRows, options.epsilon, 1.0),
        Between::Softmaxes(temperature) => (Of::Softmaxes, 0.0, temperature),
    };
    let lanes = Lanes::of(client, dtype, length, &[student, teacher, &out.grad]);
    let grid = launch::grid(client, batch);
    // SAFETY: the problem relates the extents: each of the three buffers holds `batch` rows of `length` elements.
    unsafe {
        fused::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(student),
            lanes.arg(teacher),
            lanes.anywhere(student),
            out.loss.arg(1),
            lanes.arg(&out.grad),
            dtype.scalar(planted::or("cosine_epsilon", epsilon, 0.0)),
            dtype.scalar(1.0 / temperature),
            dtype.scalar(1.0 / batch as f64),
            batch,
            length,
            lanes.vectors(),
            grid.run,
            of,
            dtype.elem(),
        );
    }
    launch::pace(client);
}
