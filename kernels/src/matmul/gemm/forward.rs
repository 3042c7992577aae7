use super::GemmProblem;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// One unit owns a run of row tiles; a tile is `rows` rows by `vectors` vectors of columns, held in registers. Rows past the end
/// compute the last row again and store nothing.
#[cube(launch_unchecked)]
fn gemm_kernel<F: Float, N: Size>(
    a: &[F],
    b: &[Vector<F, N>],
    bias: &[Vector<F, N>],
    c: &mut [Vector<F, N>],
    m: usize,
    k: usize,
    column_vectors: usize,
    run: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
    #[comptime] has_bias: bool,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, (m + comptime!(rows - 1)) / rows);
    for column in 0..column_vectors / vectors {
        for tile in first..last {
            let mut acc = Array::<Vector<F, N>>::new(rows * vectors);
            let mut starts = Array::<usize>::new(rows);
            #[unroll]
            for i in 0..rows {
                starts[i] = min(tile * rows + i, m - 1) * k;
                #[unroll]
                for j in 0..vectors {
                    if has_bias {
                        acc[i * vectors + j] = bias[column * vectors + j];
                    } else {
                        acc[i * vectors + j] = Vector::new(F::new(0.0f32));
                    }
                }
            }
            for l in 0..k {
                let mut bv = Array::<Vector<F, N>>::new(vectors);
                #[unroll]
                for j in 0..vectors {
                    bv[j] = b[l * column_vectors + column * vectors + j];
                }
                #[unroll]
                for i in 0..rows {
                    let av = Vector::<F, N>::cast_from(a[starts[i] + l]);
                    #[unroll]
                    for j in 0..vectors {
                        acc[i * vectors + j] = fma(av, bv[j], acc[i * vectors + j]);
                    }
                }
            }
            #[unroll]
            for i in 0..rows {
                if tile * rows + i < m {
                    #[unroll]
                    for j in 0..vectors {
                        c[(tile * rows + i) * column_vectors + column * vectors + j] =
                            acc[i * vectors + j];
                    }
                }
            }
        }
    }
}

/// Launches the product into `c`.
pub(super) fn launch_gemm(
    problem: &GemmProblem,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) {
    let client = a.client();
    let width = launch::width(client, problem.dtype, problem.n);
    let columns = problem.n / width;
    let [rows, vectors] = if columns.is_multiple_of(2) {
        [8, 2]
    } else {
        [8, 1]
    };
    let grid = launch::grid(client, problem.m.div_ceil(rows));
    // SAFETY: `GemmProblem` relates the extents; without a bias the kernel never reads that argument.
    unsafe {
        gemm_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            a.arg(1),
            b.arg(width),
            bias.unwrap_or(b).arg(width),
            c.arg(width),
            problem.m,
            problem.k,
            columns,
            grid.run,
            rows,
            vectors,
            bias.is_some(),
            problem.dtype.elem(),
        );
    }
    launch::pace(client);
}
