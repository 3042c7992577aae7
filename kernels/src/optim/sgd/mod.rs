//! Stochastic gradient descent with momentum, Nesterov's variant and weight decay, in PyTorch's convention.
//!
//! **Computes** `g = grad + weight_decay decayed param`, `velocity = momentum velocity + g`, then `param -= lr velocity`, or with
//! Nesterov `param -= lr (g + momentum velocity)`. `decayed` is 1 where weight decay applies and 0 elsewhere.
//!
//! **Layout** four flat buffers of one length: all parameters of a model at once.
//!
//! **One unit owns** a run of vectors.
//!
//! **Why this shape.** One launch for a whole model: a ResNet-20 has 65 parameters of 16 to 36,864 elements, and 65 launches would
//! cost more than the arithmetic.

pub mod cost;
pub mod reference;
mod step;

use super::{check_wide, is_size};
use crate::{KernelError, Tensor};

const OP: &str = "sgd";

/// The hyper-parameters of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdOptions {
    /// Step size; finite, at least 0.
    pub learning_rate: f64,
    /// Share of the velocity that is kept; 0 to 1, 1 excluded.
    pub momentum: f64,
    /// Pull towards zero; finite, at least 0.
    pub weight_decay: f64,
    /// Look ahead along the velocity; wants a momentum above 0.
    pub nesterov: bool,
}

/// Moves `params` and `velocity` in place. One launch.
///
/// # Errors
/// In this order: `params` is a window, or has 16 bits; shapes and element types of `grads`, `velocity`, `decayed`; learning rate, momentum, weight decay out of
/// range, or infinite in the parameters' element type; Nesterov without momentum; parameters or a velocity that share memory with another
/// of the four.
pub fn step(
    params: &Tensor,
    grads: &Tensor,
    velocity: &Tensor,
    decayed: &Tensor,
    options: &SgdOptions,
) -> Result<(), KernelError> {
    params.check_whole(OP, "params")?;
    check_wide(OP, params)?;
    for (name, tensor) in [
        ("grads", grads),
        ("velocity", velocity),
        ("decayed", decayed),
    ] {
        tensor.check(OP, name, params.shape(), params.dtype())?;
    }
    let at_least_0 = "finite and at least 0";
    let size = |v| is_size(params.dtype(), v);
    KernelError::check_float(OP, "learning_rate", options.learning_rate, at_least_0, size)?;
    KernelError::check_float(
        OP,
        "momentum",
        options.momentum,
        "0 to 1, 1 excluded",
        |v| (0.0..1.0).contains(&v),
    )?;
    KernelError::check_float(OP, "weight_decay", options.weight_decay, at_least_0, size)?;
    if options.nesterov && options.momentum == 0.0 {
        return Err(KernelError::range(
            OP,
            "momentum",
            0.0,
            "above 0 with nesterov",
        ));
    }
    let read = [("grads", grads), ("decayed", decayed)];
    params.check_apart(OP, "params", &[("velocity", velocity), read[0], read[1]])?;
    velocity.check_apart(OP, "velocity", &read)?;
    if !params.is_empty() {
        step::launch_step(params, grads, velocity, decayed, options);
    }
    Ok(())
}
