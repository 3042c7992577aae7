//! Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's convention.
//!
//! **Computes** `param -= lr weight_decay decayed param`, `first = beta1 first + (1 - beta1) grad`, `second = beta2 second + (1 - beta2)
//! grad^2`, then `param -= lr / (1 - beta1^t) first / (sqrt(second / (1 - beta2^t)) + epsilon)` at step `t`, counted from 1. `decayed` is 1
//! where weight decay applies and 0 elsewhere.
//!
//! **Layout** five flat buffers of one length: all parameters of a model at once.
//!
//! **One unit owns** a run of vectors; what the length leaves over goes to the unit of the last vector, one by one, since a vector
//! that is moved back would take two steps with what it shares.
//!
//! **Why this shape.** Memory-bound: 5 reads and 3 writes, in one launch for a whole model. The corrections by `t` are two numbers of
//! the step, computed on the host in f64: `1 - beta2^t` of f32 would lose three digits at the first step.

pub mod cost;
pub mod reference;
mod step;

use super::{check_wide, is_size};
use crate::{DType, KernelError, Tensor};

const OP: &str = "adamw";

/// The hyper-parameters of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Step size; finite, at least 0.
    pub learning_rate: f64,
    /// Share of the mean gradient that is kept; 0 to 1, 1 excluded.
    pub beta1: f64,
    /// Share of the mean squared gradient that is kept; 0 to 1, 1 excluded.
    pub beta2: f64,
    /// Added to the root of the mean square; above 0 in the parameters' element type.
    pub epsilon: f64,
    /// Pull towards zero, times the learning rate; finite, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    /// PyTorch's defaults.
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-2,
        }
    }
}

impl AdamWOptions {
    /// Checks the hyper-parameters for parameters of `dtype`.
    ///
    /// # Errors
    /// [`KernelError::Range`] for, in this order, learning rate, beta1, beta2, epsilon, weight decay.
    pub fn check(&self, dtype: DType) -> Result<(), KernelError> {
        let rounded = |v: f64| dtype.round(v);
        let size = |v: f64| is_size(dtype, v);
        let share = |v: f64| (0.0..1.0).contains(&v);
        let at_least_0 = "finite and at least 0";
        KernelError::check_float(OP, "learning_rate", self.learning_rate, at_least_0, size)?;
        KernelError::check_float(OP, "beta1", self.beta1, "0 to 1, 1 excluded", share)?;
        KernelError::check_float(OP, "beta2", self.beta2, "0 to 1, 1 excluded", share)?;
        let above_0 = "finite and above 0 in the parameters' element type";
        KernelError::check_float(OP, "epsilon", self.epsilon, above_0, |v| {
            rounded(v) > 0.0 && rounded(v).is_finite()
        })?;
        KernelError::check_float(OP, "weight_decay", self.weight_decay, at_least_0, size)
    }
}

/// Parameters and moments, which a step moves, all of one shape.
#[derive(Debug, Clone, Copy)]
pub struct AdamWState<'a> {
    /// The parameters.
    pub params: &'a Tensor,
    /// The mean gradient, zeros before the first step.
    pub first: &'a Tensor,
    /// The mean squared gradient, zeros before the first step.
    pub second: &'a Tensor,
}

/// Takes step `number`, counted from 1, in place. One launch; none for an empty buffer.
///
/// # Errors
/// In this order: the parameters are a window, or have 16 bits; shapes, element types and windows of `first`, `second`, `grads`, `decayed`;
/// those of [`AdamWOptions::check`]; a `number` of 0; parameters or moments that share memory with another of the five.
pub fn step(
    state: AdamWState<'_>,
    grads: &Tensor,
    decayed: &Tensor,
    options: &AdamWOptions,
    number: u64,
) -> Result<(), KernelError> {
    let params = state.params;
    params.check_whole(OP, "params")?;
    check_wide(OP, params)?;
    let others = [
        ("first", state.first),
        ("second", state.second),
        ("grads", grads),
        ("decayed", decayed),
    ];
    for (name, tensor) in others {
        tensor.check(OP, name, params.shape(), params.dtype())?;
    }
    options.check(params.dtype())?;
    if number == 0 {
        return Err(KernelError::range(OP, "number", number, "at least 1"));
    }
    for (i, (name, written)) in [("params", params), others[0], others[1]]
        .into_iter()
        .enumerate()
    {
        written.check_apart(OP, name, &others[i..])?;
    }
    if !params.is_empty() {
        step::launch_step(state, grads, decayed, options, number);
    }
    Ok(())
}
