//! Softmax attention over the tokens of a sample, in heads, with an optional learned bias by offset.
//!
//! **Computes** for each sample and head, of queries, keys and values `q`, `k` `[n, d]` and `v` `[n, dv]`: `out = p v`, `p =
//! softmax(scale q k^T + bias)` over the keys (Vaswani et al. 2017, equation 1). Where the tokens are the pixels of an `[h, w]` map, a
//! bias is looked up by the offset between query and key, whatever its direction: `bias[|y_i - y_j| w + |x_i - x_j|]` (Liu et al., CVPR
//! 2023; `docs/methods.md` section 7.9).
//!
//! **Layout** `q`, `k` `[s, n, heads d]`, `v` and `out` `[s, n, heads dv]`: heads lie side by side, and each may be a channel window, as
//! those of one tensor `qkv` are ([`packed`]). `bias` is `[heads, h w]`, and may be one too.
//!
//! **Map.** `problem.rs` checks. `fused/` is a CPU's way, whose scores never leave the caches; `unfused.rs` makes a GPU's way of
//! `matmul::batched` and `norm::softmax`. `offsets.rs` lays the bias out over pairs of tokens, and adds up its gradient.
//!
//! **One unit owns**: see `fused/mod.rs` and `matmul::batched`.
//!
//! **Backward**, of `grad`: `grad_v = p^T grad`; `grad_p = grad v^T`; `grad_s = p (grad_p - sum over the keys of grad_p p)`; `grad_q =
//! scale grad_s k`; `grad_k = scale grad_s^T q`; the bias gets the sum of `grad_s` over samples and over the pairs of tokens of an
//! offset, in that order.
//!
//! **Saved for the backward pass**: `q`, `k`, `v` and two numbers a query, from which `fused/` takes the probabilities again (Dao et al.
//! 2022, "FlashAttention"): a quarter more products backward than if `[s, heads, n, n]` were kept. `unfused.rs` keeps these
//! probabilities, in the accumulator.
//!
//! **Why this shape.** Scores of 256 tokens hold 16 times what queries of 16 channels do: written and read they would be most of the
//! traffic, for 16 products each. No operand is permuted, whichever way.
//!
//! **Not finite**: a query with a NaN spoils its own token's output, a key or a value its sample's head; nothing leaves a sample and head.

pub mod cost;
mod fused;
mod offsets;
mod problem;
pub mod reference;
mod unfused;

pub use problem::{AttentionOptions, AttentionProblem};

use crate::{KernelError, Tensor};

const OP: &str = "attention";

/// What [`backward()`] needs of a forward pass.
#[derive(Debug, Clone)]
pub struct Saved {
    problem: AttentionProblem,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Option<Tensor>,
    kept: Kept,
}

/// What is kept of the scores.
#[derive(Debug, Clone)]
enum Kept {
    /// Of each query its largest score, and one over the sum of its exponentials.
    Queries(Tensor),
    /// `[s, heads, n, n]`.
    Probabilities(Tensor),
}

impl Saved {
    /// The problem that was computed.
    pub fn problem(&self) -> &AttentionProblem {
        &self.problem
    }
}

/// The gradients of an attention.
#[derive(Debug, Clone)]
pub struct AttentionGrads {
    /// `[s, n, heads d]`.
    pub q: Tensor,
    /// `[s, n, heads d]`.
    pub k: Tensor,
    /// `[s, n, heads dv]`.
    pub v: Tensor,
    /// `[heads, h w]`, where there is a bias.
    pub bias: Option<Tensor>,
}

/// The output `[s, n, heads dv]`, and what the backward pass needs. One launch on a CPU, three elsewhere and for more tokens than a
/// core's caches hold; one more with a bias; none for an empty output.
///
/// # Errors
/// Those of [`AttentionProblem::new`], then probabilities or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    options: AttentionOptions,
) -> Result<(Tensor, Saved), KernelError> {
    let problem = AttentionProblem::new(q, k, v, bias, options)?;
    let client = q.client();
    let out = Tensor::room(OP, "output", client, &problem.output(), problem.dtype)?;
    let kept = if out.is_empty() || fused::fits(client, &problem) {
        let kept = fused::kept(client, &problem)?;
        if !out.is_empty() {
            let pairs = pairs(&problem, bias)?;
            fused::launch_forward(&problem, [q, k, v], pairs.as_ref(), &out, &kept)?;
        }
        Kept::Queries(kept)
    } else {
        Kept::Probabilities(unfused::forward(&problem, [q, k, v], bias, &out)?)
    };
    let saved = Saved {
        problem,
        q: q.clone(),
        k: k.clone(),
        v: v.clone(),
        bias: bias.cloned(),
        kept,
    };
    Ok((out, saved))
}

/// The bias as `fused` reads it.
fn pairs(problem: &AttentionProblem, bias: Option<&Tensor>) -> Result<Option<Tensor>, KernelError> {
    bias.map(|bias| {
        let pitch = fused::pairs_pitch(bias.client(), problem);
        offsets::lay_out(problem, bias, pitch)
    })
    .transpose()
}

/// The windows of queries, keys and values of `qkv` `[s, n, 3 heads d]`.
///
/// # Errors
/// A `qkv` that is no `[s, n, 3 heads d]`.
pub fn packed(qkv: &Tensor, heads: usize) -> Result<[Tensor; 3], KernelError> {
    let wanted = format!("[s, n, 3 x {heads} x d]");
    let [_, _, channels] = qkv.dims_view(OP, "qkv", &wanted)?;
    let third = channels / 3;
    if heads == 0 || third * 3 != channels || !third.is_multiple_of(heads) {
        return Err(KernelError::Shape {
            op: OP,
            tensor: "qkv",
            got: qkv.shape().to_vec(),
            wanted,
        });
    }
    let part = |i: usize| qkv.window(i * third, third);
    Ok([part(0)?, part(1)?, part(2)?])
}

/// The gradients with respect to all inputs of [`attention()`], from `grad` `[s, n, heads dv]`, which may be a window. One launch where
/// the forward pass took one, three more with a bias; else five, two more with a bias. Of an empty output none, but one that fills the
/// bias' gradient with zeros.
///
/// # Errors
/// Shape and element type of `grad`, then a scratch or a gradient by pairs past [`Tensor::MOST_ELEMENTS`].
pub fn backward(saved: Saved, grad: &Tensor) -> Result<AttentionGrads, KernelError> {
    let like = |tensor: &Tensor| Tensor::empty(grad.client(), tensor.shape(), tensor.dtype());
    let [q, k, v] = [&saved.q, &saved.k, &saved.v].map(like);
    let bias = backward_into(saved, grad, [&q, &k, &v])?;
    Ok(AttentionGrads { q, k, v, bias })
}

/// [`backward()`] of the windows of one `qkv` ([`packed`]): its gradient as one tensor, and the bias'.
///
/// # Errors
/// Those of [`backward()`].
pub fn backward_packed(
    saved: Saved,
    grad: &Tensor,
) -> Result<(Tensor, Option<Tensor>), KernelError> {
    let &AttentionProblem {
        samples,
        tokens,
        dim,
        options,
        dtype,
        ..
    } = saved.problem();
    let shape = [samples, tokens, 3 * options.heads * dim];
    let all = Tensor::room(OP, "qkv", grad.client(), &shape, dtype)?;
    let [q, k, v] = packed(&all, options.heads)?;
    let bias = backward_into(saved, grad, [&q, &k, &v])?;
    Ok((all, bias))
}

/// [`backward()`], those of queries, keys and values into tensors that may be windows. Returns the bias'.
fn backward_into(
    saved: Saved,
    grad: &Tensor,
    grads: [&Tensor; 3],
) -> Result<Option<Tensor>, KernelError> {
    let Saved {
        problem,
        q,
        k,
        v,
        bias,
        kept,
    } = &saved;
    grad.check_view(OP, "grad", &problem.output(), problem.dtype)?;
    if grad.is_empty() {
        return Ok(offsets::none(problem, grad.client()));
    }
    let scores = match kept {
        Kept::Queries(kept) => {
            let pairs = pairs(problem, bias.as_ref())?;
            fused::launch_backward(problem, [q, k, v], pairs.as_ref(), kept, grad, grads)?
        }
        Kept::Probabilities(p) => Some(unfused::backward(problem, [q, k, v], p, grad, grads)?),
    };
    match scores {
        Some(scores) => offsets::gradient(problem, &scores),
        None => Ok(None),
    }
}
