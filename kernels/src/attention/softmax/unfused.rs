//! Attention by products and a softmax: on a GPU, and where scores would leave a core's caches.

use super::{AttentionProblem, OP, offsets};
use crate::matmul::batched::{Form, batched_into};
use crate::norm::softmax;
use crate::{KernelError, Tensor, planted};

/// Writes the output of a problem that is not empty, and returns the probabilities `[s, heads, n, n]` in the accumulator.
pub(super) fn forward(
    problem: &AttentionProblem,
    [q, k, v]: [&Tensor; 3],
    bias: Option<&Tensor>,
    out: &Tensor,
) -> Result<Tensor, KernelError> {
    let &AttentionProblem {
        samples,
        tokens,
        options,
        dtype,
        ..
    } = problem;
    let shape = [samples, options.heads, tokens, tokens];
    let wide = dtype.accumulator();
    let p = Tensor::room(OP, "probabilities", q.client(), &shape, wide)?;
    let pairs = bias
        .map(|bias| offsets::lay_out(problem, bias, tokens))
        .transpose()?;
    let score = problem.product(Form::TransposedB, options.scale);
    batched_into(q, k, pairs.as_ref(), score, &p)?;
    softmax::in_place(&p);
    batched_into(&p, v, None, problem.product(Form::Plain, 1.0), out)?;
    Ok(p)
}

/// Writes the gradients of queries, keys and values, and returns that of the scores, `[s, heads, n, n]`.
pub(super) fn backward(
    problem: &AttentionProblem,
    [q, k, v]: [&Tensor; 3],
    p: &Tensor,
    grad: &Tensor,
    [grad_q, grad_k, grad_v]: [&Tensor; 3],
) -> Result<Tensor, KernelError> {
    let scale = problem.options.scale;
    let product = |form, alpha| problem.product(form, alpha);
    batched_into(p, grad, None, product(Form::TransposedA, 1.0), grad_v)?;
    let scores = Tensor::empty(grad.client(), p.shape(), p.dtype());
    batched_into(grad, v, None, product(Form::TransposedB, 1.0), &scores)?;
    softmax::backward_in_place(p, &scores);
    let slope = planted::or("attention_gradient_without_its_scale", scale, 1.0);
    batched_into(&scores, k, None, product(Form::Plain, slope), grad_q)?;
    batched_into(&scores, q, None, product(Form::TransposedA, scale), grad_k)?;
    Ok(scores)
}
