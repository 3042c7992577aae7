//! Optimiser steps over flat buffers that hold all parameters of a model.

pub mod adamw;
pub mod sgd;

use crate::{DType, KernelError, Tensor};

/// Whether a parameter's element type holds `value`, a step size or a pull.
fn is_size(params: DType, value: f64) -> bool {
    value >= 0.0 && params.round(value).is_finite()
}

/// Passes for parameters that a step can move: in 16 bits a change of less than one part in 2,048, as most steps are, vanishes.
fn check_wide(op: &'static str, params: &Tensor) -> Result<(), KernelError> {
    let dtype = params.dtype();
    if dtype.is_half() {
        let parameter = "element type of params";
        let wanted = "32 bits or more: keep the parameters so and copy them into 16 bits";
        return Err(KernelError::range(
            op,
            parameter,
            format!("{dtype:?}"),
            wanted,
        ));
    }
    Ok(())
}
