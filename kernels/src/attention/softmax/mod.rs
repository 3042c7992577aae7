//! Softmax attention over the tokens of a sample, in heads, with an optional learned bias by offset.
//!
//! **Computes** for each sample and head, of queries, keys and values `q`, `k` `[n, d]` and `v` `[n, dv]`:
//! `out = p v`, `p = softmax(scale q k^T + bias)` over the keys (Vaswani et al. 2017, equation 1). Where the tokens are the pixels of an `[h, w]` map,
//! a bias is looked up by the offset between query and key, whatever its direction: `bias[|y_i - y_j| w + |x_i - x_j|]` (Liu et al., CVPR 2023;
//! `docs/methods.md` section 7.9).
//!
//! **Layout** `q`, `k` `[s, n, heads d]`, `v` and `out` `[s, n, heads dv]`: heads lie side by side, and each may be a channel window, as those of one
//! tensor `qkv` are ([`packed`]). `bias` is `[heads, h w]`, and may be one too.
//!
//! **Map.** `problem.rs` checks. The products are `matmul::batched`'s and the softmax is `norm::softmax`'s, in place; `offsets.rs` lays the bias out
//! over pairs of tokens and adds up its gradient.
//!
//! **One unit owns**: see these.
//!
//! **Backward**, of `grad`: `grad_v = p^T grad`; `grad_p = grad v^T`; `grad_s = p (grad_p - sum over the keys of grad_p p)`, in place;
//! `grad_q = scale grad_s k`; `grad_k = scale grad_s^T q`; the bias gets the sum of `grad_s` over samples and over the pairs of tokens of an offset.
//!
//! **Saved for the backward pass**: `q`, `k`, `v` and the probabilities `p` `[s, heads, n, n]`, in the accumulator. To take them again would cost a third of the
//! products of a backward pass and all of its exponentials.
//!
//! **Why this shape.** Factor and bias are part of the first product's last step, so that scores are written once, and no operand is permuted.
//! Three launches forward, five backward; a bias takes one more forward and two more backward.
//!
//! **Not finite**: a query with a NaN spoils its own token's output, a key or a value its sample's head; nothing leaves a sample and head.

pub mod cost;
mod offsets;
mod problem;
pub mod reference;

pub use problem::{AttentionOptions, AttentionProblem};

use crate::matmul::batched::{Form, batched_into};
use crate::norm::softmax;
use crate::{KernelError, Tensor, planted};

const OP: &str = "attention";

/// What [`backward()`] needs of a forward pass.
#[derive(Debug, Clone)]
pub struct Saved {
    problem: AttentionProblem,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    /// `[s, heads, n, n]`.
    probabilities: Tensor,
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

/// The output `[s, n, heads dv]`, and what the backward pass needs. Three launches, one more with a bias; none for an empty output.
///
/// # Errors
/// Those of [`AttentionProblem::new`], then probabilities past [`Tensor::MOST_ELEMENTS`].
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    options: AttentionOptions,
) -> Result<(Tensor, Saved), KernelError> {
    let problem = AttentionProblem::new(q, k, v, bias, options)?;
    let &AttentionProblem {
        samples,
        tokens,
        dim_v,
        dtype,
        ..
    } = &problem;
    let heads = options.heads;
    let scores = [samples, heads, tokens, tokens];
    let client = q.client();
    let wide = dtype.accumulator();
    let probabilities = Tensor::room(OP, "probabilities", client, &scores, wide)?;
    let out = Tensor::empty(client, &[samples, tokens, heads * dim_v], dtype);
    if !probabilities.is_empty() {
        let by_pair = bias
            .map(|bias| offsets::lay_out(&problem, bias))
            .transpose()?;
        let score = problem.product(Form::TransposedB, options.scale);
        batched_into(q, k, by_pair.as_ref(), score, &probabilities)?;
        softmax::in_place(&probabilities);
        let mean = problem.product(Form::Plain, 1.0);
        batched_into(&probabilities, v, None, mean, &out)?;
    }
    let saved = Saved {
        problem,
        q: q.clone(),
        k: k.clone(),
        v: v.clone(),
        probabilities,
    };
    Ok((out, saved))
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

/// The gradients with respect to all inputs of [`attention()`], from `grad` `[s, n, heads dv]`, which may be a window. Five launches, two more with a
/// bias; of an empty output none but one that fills the bias' gradient with zeros.
///
/// # Errors
/// Shape and element type of `grad`, then a gradient of the bias by pairs past [`Tensor::MOST_ELEMENTS`].
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
    [grad_q, grad_k, grad_v]: [&Tensor; 3],
) -> Result<Option<Tensor>, KernelError> {
    let Saved {
        problem,
        q,
        k,
        v,
        probabilities: p,
    } = saved;
    let scale = problem.options.scale;
    grad.check_view(OP, "grad", &problem.output(), problem.dtype)?;
    if grad.is_empty() {
        return Ok(offsets::none(&problem, grad.client()));
    }
    let product = |form, alpha| problem.product(form, alpha);
    batched_into(&p, grad, None, product(Form::TransposedA, 1.0), grad_v)?;
    let grad_s = Tensor::empty(grad.client(), p.shape(), p.dtype());
    batched_into(grad, &v, None, product(Form::TransposedB, 1.0), &grad_s)?;
    softmax::backward_in_place(&p, &grad_s);
    let slope = planted::or("attention_gradient_without_its_scale", scale, 1.0);
    batched_into(&grad_s, &k, None, product(Form::Plain, slope), grad_q)?;
    batched_into(&grad_s, &q, None, product(Form::TransposedA, scale), grad_k)?;
    offsets::gradient(&problem, &grad_s)
}
