use super::GemmProblem;
use super::forward::launch_gemm;
use crate::pointwise::sum_rows;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Rows of one partial sum of the gradient of `b`, and the most partial sums: functions of the problem alone.
const ROWS_OF_PARTIAL: usize = 256;
const MOST_PARTIALS: usize = 32;
/// Rows of the gradient of `b` held in registers at once.
const TILE: usize = 8;

/// `transposed[j, i] = matrix[i, j]`. One unit owns a run of elements.
#[cube(launch_unchecked)]
fn transpose<F: Float>(
    matrix: &[F],
    transposed: &mut [F],
    rows: usize,
    columns: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, rows * columns);
    for i in first..last {
        transposed[i % columns * rows + i / columns] = matrix[i];
    }
}

/// One unit owns a run of partial sums of `a^T grad`, each over a run of rows; a tile is `TILE` rows of the result by one vector.
#[cube(launch_unchecked)]
fn partial_sums<F: Float, N: Size>(
    a: &[F],
    grad: &[Vector<F, N>],
    partials: &mut [Vector<F, N>],
    m: usize,
    k: usize,
    column_vectors: usize,
    partial_count: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let tile = comptime!(TILE);
    let per_partial = (m + partial_count - 1) / partial_count;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        let from = min(partial * per_partial, m);
        let to = min(from + per_partial, m);
        for block in 0..(k + comptime!(TILE - 1)) / tile {
            for column in 0..column_vectors {
                let mut acc = Array::<Vector<F, N>>::new(tile);
                #[unroll]
                for l in 0..tile {
                    acc[l] = Vector::new(F::new(0.0f32));
                }
                for i in from..to {
                    let gv = grad[i * column_vectors + column];
                    #[unroll]
                    for l in 0..tile {
                        let av = a[i * k + min(block * tile + l, k - 1)];
                        acc[l] = fma(Vector::<F, N>::cast_from(av), gv, acc[l]);
                    }
                }
                #[unroll]
                for l in 0..tile {
                    if block * tile + l < k {
                        let at = (partial * k + block * tile + l) * column_vectors + column;
                        partials[at] = acc[l];
                    }
                }
            }
        }
    }
}

/// Launches `grad b^T` into `out`.
pub(super) fn launch_grad_a(problem: &GemmProblem, b: &Tensor, grad: &Tensor, out: &Tensor) {
    let client = b.client();
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    let transposed = Tensor::empty(client, &[n, k], dtype);
    let grid = launch::grid(client, b.len());
    // SAFETY: both hold `k n` elements.
    unsafe {
        transpose::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            b.arg(1),
            transposed.arg(1),
            k,
            n,
            grid.run,
            dtype.elem(),
        );
    }
    launch::pace(client);
    let product = GemmProblem {
        m,
        k: n,
        n: k,
        bias: false,
        dtype,
    };
    launch_gemm(&product, grad, &transposed, None, out);
}

/// Launches the partial sums of `a^T grad` and their sum in a fixed order.
pub(super) fn launch_grad_b(problem: &GemmProblem, a: &Tensor, grad: &Tensor, out: &Tensor) {
    let client = a.client();
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    let width = launch::width(client, dtype, n);
    let partial_count = m.div_ceil(ROWS_OF_PARTIAL).clamp(1, MOST_PARTIALS);
    let partials = Tensor::empty(client, &[partial_count, k, n], dtype);
    let grid = launch::grid(client, partial_count);
    // SAFETY: `GemmProblem` relates the extents; the partial sums cover `partial_count` results.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            a.arg(1),
            grad.arg(width),
            partials.arg(width),
            m,
            k,
            n / width,
            partial_count,
            grid.run,
            dtype.elem(),
        );
    }
    launch::pace(client);
    sum_rows(&partials, out);
}
