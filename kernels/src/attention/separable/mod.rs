//! Separable self-attention: all tokens of a sample meet in one context vector, so that the work grows with their number, not with its
//! square.
//!
//! **Computes**, for each sample of `n` tokens with a query `q_i` (1), a key `k_i` and a value `v_i` (`c` each), `p = softmax of q` over the
//! tokens, `u = sum over i of p_i k_i` and `out_i = relu(v_i) u` (Mehta and Rastegari 2022, section 3.2; `docs/methods.md` section 7.7). Backward, with the gradient
//! `g_i`: `grad_v_i = g_i u` where the ReLU let `v_i` pass, `h = sum over i of g_i relu(v_i)`, `grad_k_i = p_i h` and `grad_q_i = p_i (k_i h - u h)`: the mean
//! of `k_j h` under `p`, which a softmax's gradient takes off, is `u h`.
//!
//! **Layout** `qkv` and its gradient `[s, n, 1 + 2 c]`, of each token the query, its key, its value, as one linear layer writes them; `out` and
//! its gradient `[s, n, c]`; what is saved in the accumulator's type: `p` `[s, n]` and `u` `[s, c]`.
//!
//! **One unit owns** a run of samples. Up to eight vectors of channels are summed over all tokens side by side, and are then multiplied with the
//! values while `u`, or backward `h`, is in registers or in the first cache. Long sums are made in blocks (`cascade.rs`). On a GPU a team of units owns a sample (`team.rs`).
//!
//! **Saved for the backward pass**: `qkv`, `p`, `u`. The ReLU is taken again.
//!
//! **Why this shape.** Two multiply-adds an element: bound by memory, so that one launch each way reads `qkv` once, but for the queries, and writes the
//! result. A sample of 256 tokens of 64 channels is 132 KB, within the second cache. The queries lie a token apart: they are gathered
//! into vectors once, for their exponentials, and what comes of them is saved side by side.
//!
//! **Not finite**: a NaN or plus infinity among the queries makes its sample NaN; a key that is not finite spoils its channel in all tokens of its sample, a
//! value its own element; other samples are untouched. A ReLU passes a NaN on (`clamp.rs`).

mod backward;
pub mod cost;
mod forward;
pub mod reference;
mod team;

use crate::{DType, KernelError, Tensor};

const OP: &str = "separable_attention";

/// Validated extents of one attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeparableProblem {
    /// How many samples attend within themselves.
    pub samples: usize,
    /// Tokens of a sample.
    pub tokens: usize,
    /// Channels of a key, of a value and of a result.
    pub channels: usize,
    /// Element type of `qkv`; what is summed is in its accumulator.
    pub dtype: DType,
}

impl SeparableProblem {
    /// The problem of attending within the samples of `qkv` `[s, n, 1 + 2 c]`.
    ///
    /// # Errors
    /// In this order: an element count past [`Tensor::MOST_ELEMENTS`]; the rank; a `qkv` that is a window; channels that are not one and an even number above
    /// it.
    pub fn new(qkv: &Tensor) -> Result<Self, KernelError> {
        let wanted = "[s, n, 1 + 2 c] with c > 0";
        let [samples, tokens, wide] = qkv.dims(OP, "qkv", wanted)?;
        if wide < 3 || wide.is_multiple_of(2) {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "qkv",
                got: qkv.shape().to_vec(),
                wanted: wanted.to_string(),
            });
        }
        Ok(Self {
            samples,
            tokens,
            channels: (wide - 1) / 2,
            dtype: qkv.dtype(),
        })
    }

    /// `[s, n, c]`.
    pub fn output_shape(&self) -> [usize; 3] {
        [self.samples, self.tokens, self.channels]
    }
}

/// What a forward pass keeps for [`backward()`].
#[derive(Debug, Clone)]
pub struct Saved {
    problem: SeparableProblem,
    qkv: Tensor,
    shares: Tensor,
    context: Tensor,
}

impl Saved {
    /// The extents of the pass that kept this.
    pub fn problem(&self) -> &SeparableProblem {
        &self.problem
    }

    /// What a launch walks over in vectors, beside `other`. A token of `qkv` has an odd number of elements, so that the vectors of a
    /// device which wants them aligned have one, and buffers are of scalars everywhere.
    fn tensors<'a>(&'a self, other: &'a Tensor) -> [&'a Tensor; 3] {
        [&self.qkv, &self.context, other]
    }
}

/// Attends within the samples of `qkv` `[s, n, 1 + 2 c]`, to `[s, n, c]`. One launch; none for an empty result.
///
/// # Errors
/// Those of [`SeparableProblem::new`].
pub fn separable_attention(qkv: &Tensor) -> Result<(Tensor, Saved), KernelError> {
    let problem = SeparableProblem::new(qkv)?;
    let (client, dtype) = (qkv.client(), qkv.dtype());
    let SeparableProblem {
        samples,
        tokens,
        channels,
        ..
    } = problem;
    let kept = |length: usize| Tensor::empty(client, &[samples, length], dtype.accumulator());
    let saved = Saved {
        problem,
        qkv: qkv.clone(),
        shares: kept(tokens),
        context: kept(channels),
    };
    let out = Tensor::empty(client, &problem.output_shape(), dtype);
    if !out.is_empty() {
        forward::launch_attention(&saved, &out);
    }
    Ok((out, saved))
}

/// The gradient with respect to `qkv`, of its shape, from `grad` `[s, n, c]`, which may be a channel window. One launch; none for an
/// empty tensor.
///
/// # Errors
/// Shape, then element type of `grad`.
pub fn backward(saved: &Saved, grad: &Tensor) -> Result<Tensor, KernelError> {
    let qkv = &saved.qkv;
    grad.check_view(OP, "grad", &saved.problem.output_shape(), qkv.dtype())?;
    let out = Tensor::empty(qkv.client(), qkv.shape(), qkv.dtype());
    if !out.is_empty() {
        backward::launch_backward(saved, grad, &out);
    }
    Ok(out)
}
