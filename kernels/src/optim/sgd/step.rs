use super::SgdOptions;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// One unit owns a run of vectors of parameters.
#[cube(launch_unchecked)]
fn sgd_kernel<F: Float, N: Size>(
    params: &mut [Vector<F, N>],
    grads: &[Vector<F, N>],
    velocity: &mut [Vector<F, N>],
    decayed: &[Vector<F, N>],
    learning_rate: InputScalar,
    momentum: InputScalar,
    weight_decay: InputScalar,
    count: usize,
    run: usize,
    #[comptime] nesterov: bool,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let lr = Vector::<F, N>::new(learning_rate.get::<F>());
    let m = Vector::<F, N>::new(momentum.get::<F>());
    let decay = Vector::<F, N>::new(weight_decay.get::<F>());
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, count);
    for i in first..last {
        let p = params[i];
        let g = fma(decay * decayed[i], p, grads[i]);
        let v = fma(m, velocity[i], g);
        velocity[i] = v;
        if nesterov {
            params[i] = p - lr * fma(m, v, g);
        } else {
            params[i] = p - lr * v;
        }
    }
}

/// Launches the step.
pub(super) fn launch_step(
    params: &Tensor,
    grads: &Tensor,
    velocity: &Tensor,
    decayed: &Tensor,
    options: &SgdOptions,
) {
    let client = params.client();
    let dtype = params.dtype();
    let width = launch::width(client, dtype, params.len());
    let grid = launch::grid(client, params.len() / width);
    // SAFETY: all four buffers hold the same number of vectors.
    unsafe {
        sgd_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            params.arg(width),
            grads.arg(width),
            velocity.arg(width),
            decayed.arg(width),
            dtype.scalar(options.learning_rate),
            dtype.scalar(options.momentum),
            dtype.scalar(options.weight_decay),
            params.len() / width,
            grid.run,
            options.nesterov,
            dtype.elem(),
        );
    }
    launch::throttle(client);
}
