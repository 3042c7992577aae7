//! The bias by offset: laid out over pairs of tokens ahead of the scores, and its gradient added up from theirs.

use super::{AttentionProblem, OP};
use crate::cascade::Cascade;
use crate::lanes::View;
use crate::pointwise::{fill, sum_rows};
use crate::{Client, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Numbers that are added up at a time.
type One = Const<1>;

/// `pairs[head, i, j] = bias[head, |y_i - y_j| w + |x_i - x_j|]`, and 0 for `j` past the tokens. One unit owns a run of neighbouring
/// elements, of which it divides the first one's index alone.
#[cube(launch_unchecked)]
fn lay_out_kernel<S: Float, F: Float>(
    bias: &[S],
    pairs: &mut [F],
    bias_view: View,
    h: usize,
    w: usize,
    pitch: usize,
    count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let tokens = h * w;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, count);
    let mut j = first % pitch;
    let mut row = first / pitch;
    let (mut yj, mut xj) = (j / w, j % w);
    let (mut yi, mut xi) = (row % tokens / w, row % tokens % w);
    for pair in first..last {
        // A key past the end may be a map's row away.
        let offset = min(apart(yi, yj) * w + apart(xi, xj), tokens - 1);
        let value = F::cast_from(bias[bias_view.at(row / tokens) + offset]);
        pairs[pair] = select(j < tokens, value, F::new(0.0f32));
        j += 1;
        xj += 1;
        if xj == w {
            xj = 0usize.runtime();
            yj += 1;
        }
        if j == pitch {
            j = 0usize.runtime();
            xj = 0usize.runtime();
            yj = 0usize.runtime();
            row += 1;
            yi = row % tokens / w;
            xi = row % tokens % w;
        }
    }
}

#[cube]
fn apart(a: usize, b: usize) -> usize {
    max(a, b) - min(a, b)
}

/// `out[head, offset] = sum of pairs[head, i, j]` over the pairs of that offset, in the order of `i`. One unit owns a run of offsets.
#[cube(launch_unchecked)]
fn sum_offsets<F: Float, S: Float>(
    pairs: &[Vector<F, One>],
    out: &mut [S],
    h: usize,
    w: usize,
    pitch: usize,
    count: usize,
    run: usize,
    #[define(F, S)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let tokens = h * w;
    let first = ABSOLUTE_POS * run;
    for item in first..min(first + run, count) {
        let (head, offset) = (item / tokens, item % tokens);
        let (dy, dx) = (offset / w, offset % w);
        let mut sum = Cascade::<F, One>::new();
        for y in 0..h {
            let mut part = Vector::<F, One>::new(F::new(0.0f32));
            for x in 0..w {
                let start = (head * tokens + y * w + x) * pitch;
                // The other token lies above or below, to the left or to the right; an offset of 0 has one direction.
                if y + dy < h {
                    part += across::<F>(pairs, start + (y + dy) * w, x, dx, w);
                }
                let upwards = comptime!(!planted::is("attention_bias_downwards"));
                if upwards && dy > 0 && y >= dy {
                    part += across::<F>(pairs, start + (y - dy) * w, x, dx, w);
                }
            }
            sum.add(part);
        }
        out[item] = S::cast_from(sum.total().extract(0usize));
    }
}

/// The sum of the elements `dx` from `x` in the row of `w` that starts at `start`.
#[cube]
fn across<F: Float>(
    pairs: &[Vector<F, One>],
    start: usize,
    x: usize,
    dx: usize,
    w: usize,
) -> Vector<F, One> {
    let mut sum = Vector::<F, One>::new(F::new(0.0f32));
    if x + dx < w {
        sum += pairs[start + x + dx];
    }
    if dx > 0 && x >= dx {
        sum += pairs[start + x - dx];
    }
    sum
}

/// The bias `[heads, h w]` over pairs of tokens, `[heads, n, pitch]` in the accumulator. One launch.
pub(super) fn lay_out(
    problem: &AttentionProblem,
    bias: &Tensor,
    pitch: usize,
) -> Result<Tensor, KernelError> {
    let [h, w] = problem.options.offsets.unwrap_or([1, problem.tokens]);
    let (client, dtype) = (bias.client(), problem.dtype);
    let shape = [problem.options.heads, problem.tokens, pitch];
    let pairs = Tensor::room(OP, "bias by pairs", client, &shape, dtype.accumulator())?;
    let grid = launch::grid(client, pairs.len());
    // SAFETY: the problem relates `h w` to the tokens and to the bias.
    unsafe {
        lay_out_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            bias.buffer(1, 0),
            pairs.arg(1),
            bias.view(),
            h,
            w,
            pitch,
            pairs.len(),
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(pairs)
}

/// The gradient of the bias, where there is one, from that of the scores `[s, heads, n, pitch]`: their sum over samples, then over the
/// pairs of an offset. Two launches.
pub(super) fn gradient(
    problem: &AttentionProblem,
    scores: &Tensor,
) -> Result<Option<Tensor>, KernelError> {
    let Some([h, w]) = problem.options.offsets else {
        return Ok(None);
    };
    let (client, dtype) = (scores.client(), problem.dtype);
    let heads = problem.options.heads;
    let pitch = scores.shape()[3];
    let shape = [heads, problem.tokens, pitch];
    let pairs = Tensor::room(OP, "bias by pairs", client, &shape, scores.dtype())?;
    sum_rows(scores, &pairs);
    let out = Tensor::empty(client, &[heads, problem.tokens], dtype);
    let grid = launch::grid(client, out.len());
    let [stored, wide] = dtype.elems();
    // SAFETY: the problem relates `h w` to the tokens and to the bias.
    unsafe {
        sum_offsets::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            pairs.arg(1),
            out.arg(1),
            h,
            w,
            pitch,
            out.len(),
            grid.run,
            [wide, stored],
        );
    }
    launch::throttle(client);
    Ok(Some(out))
}

/// The gradient of the bias, where there is one, of no sample.
pub(super) fn none(problem: &AttentionProblem, client: &Client) -> Option<Tensor> {
    problem.options.offsets.map(|_| {
        let shape = [problem.options.heads, problem.tokens];
        let out = Tensor::empty(client, &shape, problem.dtype);
        fill(&out, 0.0);
        out
    })
}
