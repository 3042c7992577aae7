//! The matrix product with an optional bias, and its gradients: fully connected layers and 1x1 convolutions.
//!
//! **Computes** `c[i, j] = bias[j] + sum over l of a[i, l] b[l, j]`.
//!
//! **Layout** row-major, `a [m, k]`, `b [k, n]`, `c [m, n]`; the vectors lie along `n`.
//!
//! **Map.** `forward.rs` chooses the tile, multiplies, stores and launches the product, and transposes a matrix; `grad.rs` launches both
//! gradients: that of `a` is a product with `b` transposed, that of `b` partial sums and their sum, from packed panels
//! (`matmul::panels`) where it has more columns than a tile. A GPU goes to `matmul::implicit`.
//!
//! **One unit owns** a run of tiles of 16 to 6 rows by 1 to 4 vectors of columns, accumulated in registers; in the gradient of `b`,
//! a run of partial sums over 256 to 8,192 rows. `a`, the result and its gradient may be channel windows. On a GPU a cube owns a tile of
//! the result, see `matmul/implicit`.
//!
//! **Saved for the backward pass**: `a` and `b`.
//!
//! **Why this shape.** Every load of a vector of `b` serves 8 rows, so nothing is packed. The gradient of `a` transposes `b` first,
//! which in a network is a small weight. Partial sums are as many as the problem says and are added in a fixed order; no chain of
//! additions over rows is longer than 128.
//!
//! **Where the rows lie is read from memory** (`places`), which one loop writes for a block before its products. As numbers they are invariant in the loop over the depth,
//! and LLVM hoists them; but where they and all else that is alive are more than the registers, its code generator moves their whole computation back into the loop: a comparison, a
//! conditional move, a multiplication and an addition for each row and depth, next to two multiply-adds. What is loaded it leaves outside, and spills. When units began to
//! share a tile's columns, the few numbers more did that: a product of 6,272 x 512 by 512 took 43.6 ms for 19.3 before (medians of one run each, 2 cores of an Intel Xeon, AVX-512,
//! not quiet), which `cargo xtask bench tune` showed as tiles of 6 rows being 1.3 to 3 times as fast as those of 12. With `places` it takes 17.3 ms, with the same bits, and the rule's
//! tiles lie within 14 % of the best of 12 of 13 problems (29 % at a depth of 16). **Tried without gain**: the same for the pixels of a direct convolution's tile
//! (`conv/dense/forward.rs`), which are few multiples of one number.

pub mod cost;
mod forward;
mod grad;
pub mod reference;

pub(crate) use forward::{launch_gemm, tile_vectors};
pub(crate) use grad::{accumulators, launch_add_partials, launch_grad_a, launch_grad_b};

use crate::affine::EpilogueArgs;
use crate::pointwise::{fill, sum_rows};
use crate::{Affine, DType, KernelError, Tensor};

const OP: &str = "gemm";

/// Validated extents of `[m, k] x [k, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GemmProblem {
    /// Rows of `a` and of the product.
    pub m: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Columns of `b` and of the product.
    pub n: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// Element type of every matrix.
    pub dtype: DType,
}

impl GemmProblem {
    /// The problem of `a [m, k]` times `b [k, n]` plus `bias [n]`.
    ///
    /// # Errors
    /// In this order: ranks, inner extents that differ or are zero, element types, the bias' shape and type.
    pub fn new(a: &Tensor, b: &Tensor, bias: Option<&Tensor>) -> Result<Self, KernelError> {
        let [m, k] = a.dims_view(OP, "a", "[m, k]")?;
        let [inner, n] = b.dims(OP, "b", "[k, n]")?;
        if inner != k || k == 0 || n == 0 {
            let (got, wanted) = (b.shape().to_vec(), format!("[{k}, n], no zero"));
            return Err(KernelError::Shape {
                op: OP,
                tensor: "b",
                got,
                wanted,
            });
        }
        b.check(OP, "b", b.shape(), a.dtype())?;
        if let Some(bias) = bias {
            bias.check(OP, "bias", &[n], a.dtype())?;
        }
        Ok(Self {
            m,
            k,
            n,
            bias: bias.is_some(),
            dtype: a.dtype(),
        })
    }
}

/// The product `[m, n]`. One launch.
///
/// # Errors
/// Those of [`GemmProblem::new`], then a product past [`Tensor::MOST_ELEMENTS`].
pub fn gemm(a: &Tensor, b: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, KernelError> {
    let problem = GemmProblem::new(a, b, bias)?;
    let shape = [problem.m, problem.n];
    let c = Tensor::room(OP, "product", a.client(), &shape, problem.dtype)?;
    if !c.is_empty() {
        let epilogue_args = EpilogueArgs {
            bias,
            ..EpilogueArgs::default()
        };
        launch_gemm(&problem, &a.into(), b, epilogue_args, &c);
    }
    Ok(c)
}

/// The product, with what `affine` says done to it in registers, into `out` `[m, n]`, which may be a window. The residual may have
/// fewer rows than the product: `m / rows` neighbouring rows then share one, as the pixels of an image do. One launch.
///
/// # Errors
/// Those of [`GemmProblem::new`], then those of [`Affine::check`] but for the residual's rows, which divide `m`, then shape and
/// element type of `out`, and one that shares memory with anything that is read.
pub fn gemm_into(a: &Tensor, b: &Tensor, affine: &Affine, out: &Tensor) -> Result<(), KernelError> {
    let problem = GemmProblem::new(a, b, None)?;
    let &GemmProblem { m, n, dtype, .. } = &problem;
    let rows = affine.residual.map_or(m, Tensor::pixels);
    let shared = if rows > 0 && m.is_multiple_of(rows) {
        rows
    } else {
        m
    };
    affine.check(OP, &[shared, n], dtype)?;
    out.check_view(OP, "out", &[m, n], dtype)?;
    out.check_apart(OP, "out", &[("a", a), ("b", b)])?;
    affine.check_apart(OP, out)?;
    if !out.is_empty() {
        launch_gemm(
            &problem,
            &a.into(),
            b,
            EpilogueArgs::affine(Some(affine)),
            out,
        );
    }
    Ok(())
}

/// The gradient of [`gemm()`] with respect to `a` plus `plus`, whose rows neighbouring rows share as those of [`gemm_into`]'s residual,
/// into `out` `[m, k]`, which may be a window. Two launches, the first over `b` alone.
///
/// # Errors
/// In this order: ranks and extents of `grad [m, n]` and `b [k, n]`, element types, shape and element type of `plus` and of `out`, an `out`
/// that shares memory with one of the others.
pub fn grad_a_plus_into(
    b: &Tensor,
    grad: &Tensor,
    plus: &Tensor,
    out: &Tensor,
) -> Result<(), KernelError> {
    let [m, n] = grad.dims_view(OP, "grad", "[m, n]")?;
    let [k, columns] = b.dims(OP, "b", "[k, n]")?;
    let dtype = grad.dtype();
    b.check(OP, "b", &[k.max(1), n.max(1)], dtype)?;
    let rows = plus.pixels();
    let shared = if rows > 0 && m.is_multiple_of(rows) {
        rows
    } else {
        m
    };
    plus.check_view(OP, "plus", &[shared, k], dtype)?;
    out.check_view(OP, "out", &[m, k], dtype)?;
    out.check_apart(OP, "out", &[("b", b), ("grad", grad), ("plus", plus)])?;
    if !out.is_empty() {
        let problem = GemmProblem {
            m,
            k,
            n: columns,
            bias: false,
            dtype,
        };
        grad::launch_grad_a(&problem, b, grad, Some(plus), out);
    }
    Ok(())
}

/// The gradient `[m, k]` with respect to `a`, from `grad [m, n]`. Two launches, the first over `b` alone.
///
/// # Errors
/// Those of [`GemmProblem::new`], then shape and element type of `grad`.
pub fn grad_a(a: &Tensor, b: &Tensor, grad: &Tensor) -> Result<Tensor, KernelError> {
    let problem = GemmProblem::new(a, b, None)?;
    grad.check_view(OP, "grad", &[problem.m, problem.n], problem.dtype)?;
    let out = Tensor::empty(a.client(), a.shape(), problem.dtype);
    if !out.is_empty() {
        grad::launch_grad_a(&problem, b, grad, None, &out);
    }
    Ok(out)
}

/// The gradient `[k, n]` with respect to `b`, from `grad [m, n]`. Two launches.
///
/// # Errors
/// Those of [`GemmProblem::new`], then shape and element type of `grad`, then a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn grad_b(a: &Tensor, b: &Tensor, grad: &Tensor) -> Result<Tensor, KernelError> {
    let problem = GemmProblem::new(a, b, None)?;
    grad.check_view(OP, "grad", &[problem.m, problem.n], problem.dtype)?;
    let out = Tensor::empty(a.client(), b.shape(), problem.dtype);
    if grad.is_empty() {
        fill(&out, 0.0);
    } else {
        grad::launch_grad_b(&problem, &a.into(), grad, &out)?;
    }
    Ok(out)
}

/// The gradient `[n]` with respect to the bias: the sum of `grad [m, n]` over its rows, in blocks of neighbours. One
/// launch.
///
/// # Errors
/// `grad` is no matrix.
pub fn grad_bias(grad: &Tensor) -> Result<Tensor, KernelError> {
    grad_bias_in(grad, grad.dtype())
}

/// [`grad_bias`] of a bias that is held in `dtype`: in the accumulator of `grad`'s element type, where an [`Affine`] has its maps.
///
/// # Errors
/// `grad` is no matrix.
pub fn grad_bias_in(grad: &Tensor, dtype: DType) -> Result<Tensor, KernelError> {
    let [_, n] = grad.dims(OP, "grad", "[m, n]")?;
    let out = Tensor::empty(grad.client(), &[n], dtype);
    if grad.is_empty() {
        fill(&out, 0.0);
    } else {
        sum_rows(grad, &out);
    }
    Ok(out)
}
