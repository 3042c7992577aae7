//! ReLU linear attention, EfficientViT's (Cai et al. 2023, `docs/methods.md` section 7.8).
//!
//! **Computes**, for every sample and group, with `q = relu(query)` and `k = relu(key)` of `n` tokens, the **state** `S = sum over j of
//! k_j^T v_j`, `[d, d]`, and `z = sum over j of k_j`, `[d]`, and from them `y_i = q_i S / (q_i . z + epsilon)`. It costs `n d^2` where
//! attention by softmax costs `n^2 d`.
//!
//! Backward, from the gradient `g`, with `r_i = 1 / (q_i . z + epsilon)`, `w_i = S g_i` and `e_i = -r_i^2 (q_i . w_i)`, the gradients of
//! numerator and divisor of token `i` are `r_i g_i` and `e_i`, and (derived)
//!
//! - `grad_q_i = r_i w_i + e_i z`;
//! - `grad_S = sum over i of q_i^T (r_i g_i)` and `grad_z = sum over i of e_i q_i`;
//! - `grad_k_j = grad_S v_j + grad_z`, `grad_v_j = k_j grad_S`;
//!
//! those of `q` and `k` stop where the ReLU was off (`clamp.rs`).
//!
//! **Layout** `qkv` `[s, .., groups 3 d]`, the extents between being the `n` tokens: a group is query, key and value side by side, `d`
//! channels each; `y` `[s, .., groups d]`. All may be channel windows: the scales of a network write side by side into one map.
//!
//! **Map.** `forward.rs` and `backward.rs` walk and launch on a CPU, `tile.rs` multiplies there. `cube.rs` does all of it on a GPU.
//!
//! **One unit owns** a run of (sample, group) pairs. Its scratch holds a state, backward two and two numbers a token: at most 33 KB
//! in f32, which stay in the first caches while the tokens pass by. On a GPU a cube owns a pair and has the state in its shared memory;
//! neighbouring units read neighbouring channels.
//!
//! **Saved for the backward pass**: `qkv` alone. The state and the divisors are computed again, `n d (d + 1)` multiply-adds of
//! the `4 n d^2` and more of the gradient; kept, they would cost more memory than `qkv` itself where maps are small (4 tokens of 48 channels for 272
//! of a state, at 64 px).
//!
//! **Why this shape.** Both products are of tall and thin matrices with the token as the long extent, dozens of them in a batch, each in a
//! core's cache: no product of a general kind has them side by side in one launch. A tile of eight vectors of sums stays in registers; one of its
//! operands is read in vectors, the other one number at a time. The ReLU is taken on the way: it costs an instruction beside each
//! broadcast, and saves a map. The sums over tokens are made in blocks (`cascade.rs`), whose order depends on `n` alone.
//!
//! **Not finite**: a NaN in a query spoils its token, one in a key or value all tokens, and backward any of them what depends on it. Other
//! groups and samples are untouched.

mod backward;
pub mod cost;
mod cube;
mod forward;
pub mod reference;
mod tile;

use crate::norm::check_epsilon;
use crate::{DType, KernelError, Tensor};

const OP: &str = "linear_attention";

/// The widest head that a unit's registers and a cube's shared memory are laid out for: its state takes 17 KB in f32, 33 KB in f64.
pub const MOST_CHANNELS: usize = 64;

/// Validated extents of one linear attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearAttentionProblem {
    /// Samples of the batch.
    pub samples: usize,
    /// Tokens of a sample.
    pub tokens: usize,
    /// Groups of query, key and value.
    pub groups: usize,
    /// Channels of each of them.
    pub head: usize,
    /// Element type of `qkv` and of the result; sums are made in its accumulator.
    pub dtype: DType,
}

impl LinearAttentionProblem {
    /// The problem of `qkv` `[s, .., groups 3 head]`.
    ///
    /// # Errors
    /// In this order: a `qkv` past [`Tensor::MOST_ELEMENTS`]; a `head` of 0 or above [`MOST_CHANNELS`], or
    /// on a GPU with less shared memory one whose state does not fit there; a `qkv` of fewer than two axes or
    /// whose channels are no multiple of `3 head`; an `epsilon` not finite and above 0 in the accumulator.
    pub fn new(qkv: &Tensor, head: usize, epsilon: f64) -> Result<Self, KernelError> {
        qkv.check_addressable(OP, "qkv")?;
        if head == 0 || head > MOST_CHANNELS {
            return Err(KernelError::range(OP, "head", head, "1 to 64 channels"));
        }
        let shared = qkv.client().properties().hardware.max_shared_memory_size;
        if !tile::fits(qkv.client()) && cube::shared_bytes(head, qkv.dtype()) > shared {
            let wanted = "a head whose state fits into the shared memory of a cube";
            return Err(KernelError::range(OP, "head", head, wanted));
        }
        let (samples, tokens, channels) = match qkv.shape() {
            [s, between @ .., c] => (*s, between.iter().product(), *c),
            _ => (0, 0, 1),
        };
        if !channels.is_multiple_of(3 * head) {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "qkv",
                got: qkv.shape().to_vec(),
                wanted: format!(
                    "[s, .., groups {}], query, key and value of {head} channels each",
                    3 * head
                ),
            });
        }
        let dtype = qkv.dtype();
        check_epsilon(OP, dtype.accumulator(), epsilon)?;
        Ok(Self {
            samples,
            tokens,
            groups: channels / (3 * head),
            head,
            dtype,
        })
    }

    /// Pairs of a sample and a group.
    fn pairs(&self) -> usize {
        self.samples * self.groups
    }

    /// Whether there is nothing to compute.
    fn is_empty(&self) -> bool {
        self.pairs() * self.tokens == 0
    }
}

/// The extents of the result of `qkv`.
fn output_shape(qkv: &Tensor) -> Vec<usize> {
    let mut shape = qkv.shape().to_vec();
    if let Some(channels) = shape.last_mut() {
        *channels /= 3;
    }
    shape
}

/// The attention of `qkv` `[s, .., groups 3 head]`, `[s, .., groups head]`. One launch; none where there is no element.
///
/// # Errors
/// Those of [`LinearAttentionProblem::new`].
pub fn linear_attention(qkv: &Tensor, head: usize, epsilon: f64) -> Result<Tensor, KernelError> {
    let problem = LinearAttentionProblem::new(qkv, head, epsilon)?;
    let y = Tensor::empty(qkv.client(), &output_shape(qkv), qkv.dtype());
    launch(&problem, qkv, epsilon, &y)?;
    Ok(y)
}

/// [`linear_attention`] into `y` `[s, .., groups head]`, which may be a window.
///
/// # Errors
/// In this order: those of [`LinearAttentionProblem::new`]; shape and element type of `y`; a `y` that shares memory with `qkv`; a scratch
/// past [`Tensor::MOST_ELEMENTS`].
pub fn linear_attention_into(
    qkv: &Tensor,
    head: usize,
    epsilon: f64,
    y: &Tensor,
) -> Result<(), KernelError> {
    let problem = LinearAttentionProblem::new(qkv, head, epsilon)?;
    y.check_view(OP, "y", &output_shape(qkv), qkv.dtype())?;
    y.check_apart(OP, "y", &[("qkv", qkv)])?;
    launch(&problem, qkv, epsilon, y)
}

fn launch(
    problem: &LinearAttentionProblem,
    qkv: &Tensor,
    epsilon: f64,
    y: &Tensor,
) -> Result<(), KernelError> {
    if problem.is_empty() {
        return Ok(());
    }
    if tile::fits(qkv.client()) {
        forward::launch_forward(problem, qkv, epsilon, y)
    } else {
        cube::launch_forward(problem, qkv, epsilon, y);
        Ok(())
    }
}

/// The gradient of [`linear_attention`] with respect to `qkv`, of its shape, from `grad` of the result's; both may be windows. One
/// launch; none where there is no element.
///
/// # Errors
/// In this order: those of [`LinearAttentionProblem::new`]; shape and element type of `grad`; a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn backward(
    qkv: &Tensor,
    grad: &Tensor,
    head: usize,
    epsilon: f64,
) -> Result<Tensor, KernelError> {
    let problem = LinearAttentionProblem::new(qkv, head, epsilon)?;
    grad.check_view(OP, "grad", &output_shape(qkv), qkv.dtype())?;
    let out = Tensor::empty(qkv.client(), qkv.shape(), qkv.dtype());
    if problem.is_empty() {
        return Ok(out);
    }
    if tile::fits(qkv.client()) {
        backward::launch_backward(&problem, qkv, grad, epsilon, &out)?;
    } else {
        cube::launch_backward(&problem, qkv, grad, epsilon, &out)?;
    }
    Ok(out)
}
