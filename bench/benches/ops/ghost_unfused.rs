//! The Ghost module from separate operations: convolution, batch norm, ReLU, each by itself, and a copy for the concatenation.

use crate::ghost::Module;
use ghostlight_autodiff::Tensor;
use ghostlight_bench::{DTYPE, Variant};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::KernelError;
use ghostlight_kernels::conv::dense::{self, ConvOptions, conv};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions, depthwise};
use ghostlight_kernels::norm::batch_norm;
use ghostlight_kernels::pointwise::activation::{self, Activation, activation, activation_into};
use ghostlight_kernels::pointwise::{add, add_at};

const RELU: Activation = Activation::Relu;

fn pointwise() -> ConvOptions {
    ConvOptions::square(1, 0)
}

fn cheap() -> DepthwiseOptions {
    DepthwiseOptions::square(1, 1)
}

/// Both halves copied into one tensor. Neither is negative, so that a ReLU copies them.
fn concatenated(p: &Tensor, q: &Tensor, channels: usize) -> Result<Tensor, KernelError> {
    let m = p.shape()[3];
    let shape = [&p.shape()[..3], &[channels]].concat();
    let y = Tensor::empty(p.client(), &shape, DTYPE);
    activation_into(p, RELU, &y.window(0, m)?)?;
    activation_into(
        &q.window(0, channels - m)?,
        RELU,
        &y.window(m, channels - m)?,
    )?;
    Ok(y)
}

pub fn inference<'a>(channels: usize) -> Variant<'a> {
    Variant::prepared("unfused", move |t| {
        let Module { norms, .. } = Module::new(t.clone(), channels);
        Ok(Box::new(move || {
            let p = batch_norm::infer(
                &conv(&t[0], &t[1], pointwise())?,
                &norms[0],
                None,
                Clamp::None,
            )?;
            let p = activation(&p, RELU);
            let q = depthwise(&p, &t[2], None, cheap())?;
            let q = activation(&batch_norm::infer(&q, &norms[1], None, Clamp::None)?, RELU);
            Ok(vec![concatenated(&p, &q, channels)?])
        }))
    })
}

pub fn train<'a>(channels: usize) -> Variant<'a> {
    Variant::prepared("unfused", move |t| {
        let Module { norms, .. } = Module::new(t.clone(), channels);
        Ok(Box::new(move || {
            let (x, primary, cheap_weight, grad) = (&t[0], &t[1], &t[2], &t[5]);
            let p = conv(x, primary, pointwise())?;
            let (p_before, p_saved) = batch_norm::train(&p, &norms[0], None, Clamp::None)?;
            let p = activation(&p_before, RELU);
            let q = depthwise(&p, cheap_weight, None, cheap())?;
            let (q_before, q_saved) = batch_norm::train(&q, &norms[1], None, Clamp::None)?;
            let y = concatenated(&p, &activation(&q_before, RELU), channels)?;

            let m = p.shape()[3];
            let of_p = add_at(None, &grad.window(0, m)?, 0, m)?;
            let of_q = add_at(None, &grad.window(m, channels - m)?, 0, m)?;
            let of_q = activation::backward(&q_before, &of_q, RELU)?;
            let of_q = batch_norm::backward(&norms[1], q_saved, &of_q)?.input;
            let of_cheap = depthwise::grad_weight(&p, cheap_weight, &of_q, cheap())?;
            let through = depthwise::grad_input(&p, cheap_weight, &of_q, cheap())?;
            let of_p = activation::backward(&p_before, &add(&of_p, &through)?, RELU)?;
            let of_p = batch_norm::backward(&norms[0], p_saved, &of_p)?.input;
            let of_primary = dense::grad_weight(x, primary, &of_p, pointwise())?;
            let of_x = dense::grad_input(x, primary, &of_p, pointwise())?;
            Ok(vec![y, of_x, of_primary, of_cheap])
        }))
    })
}
