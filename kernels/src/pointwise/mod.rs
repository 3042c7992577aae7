//! Small sums that other operations share: rows of partial sums, and gradients that meet at one tensor.

use crate::{Cost, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// `out[i] = sum over r of rows[r, i]`, in the order of `r`. One unit owns a run of vectors of columns.
#[cube(launch_unchecked)]
fn sum_rows_kernel<F: Float, N: Size>(
    rows: &[Vector<F, N>],
    out: &mut [Vector<F, N>],
    count: usize,
    columns: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, columns);
    for i in first..last {
        let mut sum = rows[i];
        for r in 1..count {
            sum += rows[r * columns + i];
        }
        out[i] = sum;
    }
}

/// Sums `rows` `[r, ..]` over its first axis into `out`; `r` is at least 1.
pub(crate) fn sum_rows(rows: &Tensor, out: &Tensor) {
    let client = rows.client();
    let width = launch::width(client, rows.dtype(), out.len());
    let grid = launch::grid(client, out.len() / width);
    // SAFETY: callers pass `rows` with as many columns as `out` has elements.
    unsafe {
        sum_rows_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            rows.arg(width),
            out.arg(width),
            rows.len() / out.len(),
            out.len() / width,
            grid.run,
            rows.dtype().elem(),
        );
    }
    launch::pace(client);
}

/// `into += add`. One unit owns a run of vectors.
#[cube(launch_unchecked)]
fn add_kernel<F: Float, N: Size>(
    into: &mut [Vector<F, N>],
    add: &[Vector<F, N>],
    count: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, count);
    for i in first..last {
        into[i] += add[i];
    }
}

/// Adds `add` to `into`, in place; both of the same shape. One launch.
///
/// # Errors
/// Shape or element type of `add` differs from `into`'s.
pub fn add_into(into: &Tensor, add: &Tensor) -> Result<(), KernelError> {
    add.check("add_into", "add", into.shape(), into.dtype())?;
    if into.is_empty() {
        return Ok(());
    }
    let client = into.client();
    let width = launch::width(client, into.dtype(), into.len());
    let grid = launch::grid(client, into.len() / width);
    // SAFETY: both hold the same number of vectors.
    unsafe {
        add_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            into.arg(width),
            add.arg(width),
            into.len() / width,
            grid.run,
            into.dtype().elem(),
        );
    }
    launch::pace(client);
    Ok(())
}

/// Reads both tensors, writes one.
pub fn cost_of_add(into: &Tensor) -> Cost {
    Cost::traffic(2 * into.len(), into.len(), into.dtype().size())
}

/// `out[i] = value`. One unit owns a run of elements.
#[cube(launch_unchecked)]
fn fill_kernel<F: Float>(
    out: &mut [F],
    value: InputScalar,
    count: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, count);
    for i in first..last {
        out[i] = value.get::<F>();
    }
}

/// Sets every element of `out` to `value`. One launch.
pub fn fill(out: &Tensor, value: f64) {
    if out.is_empty() {
        return;
    }
    let grid = launch::grid(out.client(), out.len());
    // SAFETY: the kernel stops at `len`.
    unsafe {
        fill_kernel::launch_unchecked(
            out.client(),
            grid.count,
            grid.dim,
            out.arg(1),
            out.dtype().scalar(value),
            out.len(),
            grid.run,
            out.dtype().elem(),
        );
    }
    launch::pace(out.client());
}
