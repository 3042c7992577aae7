//! Products of many small matrices in one launch, one for each sample and head: what attention is made of.
//!
//! **Computes** `out[s, h] = alpha a[s, h] b[s, h] + plus[h]`, where one of the factors may be transposed ([`Form`]).
//!
//! **Layout** the matrices of an operand, and of the result, lie in one of two ways, each of which may be a channel window:
//!
//! | shape | matrix `(s, h)` |
//! |---|---|
//! | `[s, rows, heads columns]` | the columns from `h columns` on of each row: heads lie side by side, as a layer makes them |
//! | `[s, heads, rows, columns]` | heads are an axis, as those of scores |
//!
//! So nothing is permuted ahead of a product. `plus` is `[heads, rows, columns]`, the same for all samples, in the accumulator. `a` and the
//! result may be in the accumulator too: scores of 16 bits are never rounded to them.
//!
//! **Map.** `problem.rs` checks, `views.rs` says where a matrix lies, `rows.rs` is a CPU's kernel, `tiles.rs` a GPU's, each with what
//! launches it, and `plan.rs` its tile.
//!
//! **One unit owns** a run of tiles of rows, across matrices: many small matrices and a few tall ones are both cut evenly. A tile is up to
//! 16 rows by 1 to 4 vectors of columns in registers, the rows chosen so that few are beside the matrix. What `b` gives to a group of columns is
//! first laid side by side, and turned where it is transposed, once for each matrix and unit. On a GPU a cube owns a tile of one matrix, as in
//! `matmul::implicit`, but a smaller one, and brings the next when it is done: these matrices are small and their depth is short.
//!
//! **Saved for the backward pass**: the caller's matter. The gradients of a product are products of the other forms: of `a b`, `grad b^T` and
//! `a^T grad`.
//!
//! **Why this shape.** The matrices of attention in networks on images have 4 to 256 rows and 16 to 60 columns: a launch for each of
//! hundreds of them costs more than its product. `b` of one matrix stays in the first or second cache while all tiles of rows pass over
//! it.
//!
//! **Bits.** Each element adds up its products in the order of the depth, in one chain, whatever the tile or the device's cores.

pub mod cost;
mod plan;
mod problem;
pub mod reference;
mod rows;
mod tiles;
mod views;

pub use problem::{BatchedOptions, BatchedProblem, Form};

use crate::{KernelError, Tensor, launch};
use views::Operands;
pub(crate) use views::{Matrices, MatricesLaunch};

const OP: &str = "batched";

/// The products `[s, heads, m, n]` of `a` and `b`, in the element type of `b`. One launch; none for an empty result.
///
/// # Errors
/// Those of [`BatchedProblem::new`], then products past [`Tensor::MOST_ELEMENTS`].
pub fn batched(a: &Tensor, b: &Tensor, options: BatchedOptions) -> Result<Tensor, KernelError> {
    let problem = BatchedProblem::new(a, b, options)?;
    let out = Tensor::room(OP, "product", b.client(), &problem.shape(), problem.dtype)?;
    launch_batched(&problem, a, b, None, &out);
    Ok(out)
}

/// The products plus `plus`, into `out`, in either layout. One launch; none for an empty `out`.
///
/// # Errors
/// Those of [`BatchedProblem::new`], then, in this order: shape and element type of `plus`, `[heads, m, n]` in the accumulator; shape and
/// element type of `out`, the operands' or the accumulator; an `out` that shares memory with one of the others.
pub fn batched_into(
    a: &Tensor,
    b: &Tensor,
    plus: Option<&Tensor>,
    options: BatchedOptions,
    out: &Tensor,
) -> Result<(), KernelError> {
    let problem = BatchedProblem::new(a, b, options)?;
    problem.check_results(plus, out)?;
    out.check_apart(OP, "out", &[("a", a), ("b", b)])?;
    if let Some(plus) = plus {
        out.check_apart(OP, "out", &[("plus", plus)])?;
    }
    launch_batched(&problem, a, b, plus, out);
    Ok(())
}

/// Launches the products of a checked problem, unless there are none.
fn launch_batched(
    problem: &BatchedProblem,
    a: &Tensor,
    b: &Tensor,
    plus: Option<&Tensor>,
    out: &Tensor,
) {
    if out.is_empty() {
        return;
    }
    let operands = Operands { a, b, plus, out };
    if launch::is_cpu(out.client()) {
        rows::launch(problem, &operands);
    } else {
        tiles::launch(problem, &operands);
    }
}
