//! Linear attention and its gradient on GPUs: a cube a pair of a sample and a group, one launch each.
//!
//! **One cube owns** a pair. Its state `[d, d + 1]`, whose last column is the sum of keys, lies in shared memory. A unit makes some rows of one
//! column of it at a time, so that a value that it reads serves several keys; neighbouring units have neighbouring columns, and read the
//! same keys. Then a unit makes one channel of one token at a time, its neighbours the next channels. Backward, tokens come in tiles of [`SLOTS`]
//! channels, as every channel needs the products of all: they meet in shared memory. The gradient of the state lies where the state lay.
//!
//! The tokens' two numbers go through device memory, since there may be any number of them: a barrier of storage lies between.
//!
//! **Not timed**: no GPU was at hand. Run on lavapipe for its results alone.

use super::tile::{Cascades, One, Part, zeros};
use super::{LinearAttentionProblem, OP};
use crate::cascade::{block_end, block_start, blocks};
use crate::clamp::{relu, relu_grad};
use crate::lanes::View;
use crate::{Client, DType, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Channels of tokens that meet at a time, and units of a cube at most.
const SLOTS: usize = launch::GPU_UNITS as usize;
/// Rows of a column that a unit makes together at most: beside each lie three more sums of its cascade.
const ROWS: usize = 8;

type Number<F> = Vector<F, One>;

/// Rows of a unit: as many as give every unit of a cube a column, as long as there are columns.
fn rows_of(head: usize) -> usize {
    (head * (head + 1)).div_ceil(SLOTS).clamp(1, ROWS)
}

/// Shared memory of a backward pass.
pub(super) fn shared_bytes(head: usize, dtype: DType) -> usize {
    (head * (head + 1) + SLOTS) * dtype.accumulator().size()
}

#[cube]
fn number<S: Float, F: Float>(x: &[S], index: usize) -> Number<F> {
    Vector::cast_from(x[index])
}

#[cube]
fn clamped<S: Float, F: Float>(x: &[S], index: usize) -> Number<F> {
    relu::<F, One>(number::<S, F>(x, index))
}

/// A state, `[head, head + 1]`.
#[derive(CubeType)]
struct State<F: Float> {
    cells: Shared<[Number<F>]>,
}

#[cube]
impl<F: Float> State<F> {
    fn new(#[comptime] head: usize) -> State<F> {
        State::<F> {
            cells: Shared::new_slice(comptime!(head * (head + 1))),
        }
    }

    fn at(&self, row: usize, column: usize, #[comptime] head: usize) -> Number<F> {
        self.cells[row * comptime!(head + 1) + column]
    }

    /// Sums over tokens of a row's clamped number times a column's. Column `b` is channel `b` of `right`, times the token's `weights`
    /// where it is `weighted`; the last column is 1, or the token's weight of its own.
    fn fill<S: Float>(
        &mut self,
        rows_in: &[S],
        rows: &Part,
        right_in: &[S],
        right: &Part,
        weights_in: &[F],
        weights: usize,
        tokens: usize,
        #[comptime] head: usize,
        #[comptime] weighted: bool,
    ) {
        let deep = comptime!(rows_of(head));
        let columns = comptime!(head + 1);
        let mut item = UNIT_POS as usize;
        while item < comptime!(head.div_ceil(deep) * (head + 1)) {
            let column = item % columns;
            let first = item / columns * deep;
            let mut sums = Cascades::<F, One>::new(deep);
            for block in 0..blocks(tokens) {
                let mut part = zeros::<F, One>(deep);
                for i in block_start(block)..block_end(block, tokens) {
                    let mut across = Number::<F>::new(F::new(1.0f32));
                    if column < head {
                        across = number::<S, F>(right_in, right.at(i) + column);
                        if weighted {
                            across *= number::<F, F>(weights_in, weights + i);
                        }
                    } else if weighted {
                        across = number::<F, F>(weights_in, weights + tokens + i);
                    }
                    #[unroll]
                    for r in 0..deep {
                        let row = min(first + r, comptime!(head - 1));
                        let value = clamped::<S, F>(rows_in, rows.at(i) + row);
                        part[r] = fma(value, across, part[r]);
                    }
                }
                sums.add(&part, deep);
            }
            #[unroll]
            for r in 0..deep {
                if first + r < head {
                    self.cells[(first + r) * columns + column] = sums.total(r);
                }
            }
            item += CUBE_DIM as usize;
        }
        sync_cube();
    }
}

/// `y = q S / (q . z + epsilon)`.
#[cube(launch_unchecked)]
fn linear_attention_by_cubes<S: Float, F: Float>(
    qkv: &[S],
    y: &mut [S],
    none: &[F],
    qkv_view: View,
    y_view: View,
    epsilon: InputScalar,
    tokens: usize,
    groups: usize,
    pairs: usize,
    #[comptime] head: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let there = CUBE_POS < pairs;
    let pair = min(CUBE_POS, pairs - 1);
    let pixel = pair / groups * tokens;
    let offset = pair % groups * head;
    let q = Part::new(&qkv_view, pixel, 3 * offset);
    let k = Part::new(&qkv_view, pixel, 3 * offset + head);
    let v = Part::new(&qkv_view, pixel, 3 * offset + 2 * head);
    let to = Part::new(&y_view, pixel, offset);
    let mut state = State::<F>::new(head);
    state.fill::<S>(qkv, &k, qkv, &v, none, 0usize, tokens, head, false);
    if there {
        let mut item = UNIT_POS as usize;
        while item < tokens * head {
            let (i, b) = (item / head, item % head);
            let mut sum = Number::<F>::new(F::new(0.0f32));
            let mut divisor = Number::<F>::new(epsilon.get::<F>());
            for a in 0..head {
                let value = clamped::<S, F>(qkv, q.at(i) + a);
                sum = fma(value, state.at(a, b, head), sum);
                divisor = fma(value, state.at(a, head, head), divisor);
            }
            y[to.at(i) + b] = S::cast_from((sum / divisor).extract(0usize));
            item += CUBE_DIM as usize;
        }
    }
}

/// The gradient of `qkv`; `scratch` gets two numbers a token, what its numerator and its divisor get.
#[cube(launch_unchecked)]
fn linear_attention_grad_by_cubes<S: Float, F: Float>(
    qkv: &[S],
    grad: &[S],
    out: &mut [S],
    scratch: &mut [F],
    qkv_view: View,
    grad_view: View,
    out_view: View,
    epsilon: InputScalar,
    tokens: usize,
    groups: usize,
    pairs: usize,
    #[comptime] head: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let there = CUBE_POS < pairs;
    let pair = min(CUBE_POS, pairs - 1);
    let pixel = pair / groups * tokens;
    let offset = pair % groups * head;
    let q = Part::new(&qkv_view, pixel, 3 * offset);
    let k = Part::new(&qkv_view, pixel, 3 * offset + head);
    let v = Part::new(&qkv_view, pixel, 3 * offset + 2 * head);
    let g = Part::new(&grad_view, pixel, offset);
    let to_q = Part::new(&out_view, pixel, 3 * offset);
    let to_k = Part::new(&out_view, pixel, 3 * offset + head);
    let to_v = Part::new(&out_view, pixel, 3 * offset + 2 * head);
    let numerators = pair * 2 * tokens;
    let zero = Number::<F>::new(F::new(0.0f32));
    let mut state = State::<F>::new(head);
    state.fill::<S>(qkv, &k, qkv, &v, &*scratch, 0usize, tokens, head, false);
    let mut slots = Shared::<[Number<F>]>::new_slice(SLOTS);
    let many = comptime!(SLOTS / head);
    for tile in 0..(tokens + comptime!(many - 1)) / many {
        let mut item = UNIT_POS as usize;
        while item < comptime!(many * head) {
            let i = min(tile * many + item / head, tokens - 1);
            let mut w = zero;
            for b in 0..head {
                let value = number::<S, F>(grad, g.at(i) + b);
                w = fma(value, state.at(item % head, b, head), w);
            }
            slots[item] = w;
            item += CUBE_DIM as usize;
        }
        sync_cube();
        let mut item = UNIT_POS as usize;
        while item < comptime!(many * head) {
            let i = tile * many + item / head;
            if there && i < tokens {
                let a = item % head;
                let mut divisor = Number::<F>::new(epsilon.get::<F>());
                let mut tilt = zero;
                for c in 0..head {
                    let value = clamped::<S, F>(qkv, q.at(i) + c);
                    divisor = fma(value, state.at(c, head, head), divisor);
                    tilt = fma(value, slots[item - a + c], tilt);
                }
                let numerator = Number::<F>::new(F::new(1.0f32)) / divisor;
                let below = zero - tilt * numerator * numerator;
                let value = fma(slots[item], numerator, state.at(a, head, head) * below);
                let before = number::<S, F>(qkv, q.at(i) + a);
                let value = relu_grad::<F, One>(before, value);
                out[to_q.at(i) + a] = S::cast_from(value.extract(0usize));
                if a == 0 {
                    scratch[numerators + i] = numerator.extract(0usize);
                    scratch[numerators + tokens + i] = below.extract(0usize);
                }
            }
            item += CUBE_DIM as usize;
        }
        sync_cube();
    }
    sync_storage();
    state.fill::<S>(qkv, &q, grad, &g, &*scratch, numerators, tokens, head, true);
    if there {
        let mut item = UNIT_POS as usize;
        while item < tokens * head {
            let (i, c) = (item / head, item % head);
            let mut of_k = state.at(c, head, head);
            let mut of_v = zero;
            for j in 0..head {
                let value = number::<S, F>(qkv, v.at(i) + j);
                of_k = fma(value, state.at(c, j, head), of_k);
                let key = clamped::<S, F>(qkv, k.at(i) + j);
                of_v = fma(key, state.at(j, c, head), of_v);
            }
            let before = number::<S, F>(qkv, k.at(i) + c);
            let of_k = relu_grad::<F, One>(before, of_k);
            out[to_k.at(i) + c] = S::cast_from(of_k.extract(0usize));
            out[to_v.at(i) + c] = S::cast_from(of_v.extract(0usize));
            item += CUBE_DIM as usize;
        }
    }
}

/// Cubes for the pairs of `problem`.
fn grid(client: &Client, problem: &LinearAttentionProblem) -> (CubeCount, CubeDim) {
    let units = client.properties().hardware.max_units_per_cube;
    let dim = CubeDim::new_1d(units.clamp(1, launch::GPU_UNITS));
    (launch::cubes(client, problem.pairs()), dim)
}

/// Launches the attention of `qkv` into `y`.
pub(super) fn launch_forward(
    problem: &LinearAttentionProblem,
    qkv: &Tensor,
    epsilon: f64,
    y: &Tensor,
) {
    let (client, dtype) = (qkv.client(), problem.dtype);
    let (count, dim) = grid(client, problem);
    let none = Tensor::empty(client, &[1], dtype.accumulator());
    // SAFETY: `LinearAttentionProblem` relates the extents, and cubes past the last pair write nothing.
    unsafe {
        linear_attention_by_cubes::launch_unchecked(
            client,
            count,
            dim,
            qkv.buffer(1, 0),
            y.buffer(1, 0),
            none.arg(1),
            qkv.view(),
            y.view(),
            dtype.scalar(epsilon),
            problem.tokens,
            problem.groups,
            problem.pairs(),
            problem.head,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// Launches the gradient of `qkv` into `out`.
pub(super) fn launch_backward(
    problem: &LinearAttentionProblem,
    qkv: &Tensor,
    grad: &Tensor,
    epsilon: f64,
    out: &Tensor,
) -> Result<(), KernelError> {
    let (client, dtype) = (qkv.client(), problem.dtype);
    let (count, dim) = grid(client, problem);
    let room = [problem.pairs(), 2, problem.tokens];
    let scratch = Tensor::room(OP, "scratch", client, &room, dtype.accumulator())?;
    // SAFETY: `LinearAttentionProblem` relates the extents; `scratch` has two numbers for each token of a pair, and cubes past the last
    // pair write nothing.
    unsafe {
        linear_attention_grad_by_cubes::launch_unchecked(
            client,
            count,
            dim,
            qkv.buffer(1, 0),
            grad.buffer(1, 0),
            out.buffer(1, 0),
            scratch.arg(1),
            qkv.view(),
            grad.view(),
            out.view(),
            dtype.scalar(epsilon),
            problem.tokens,
            problem.groups,
            problem.pairs(),
            problem.head,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
