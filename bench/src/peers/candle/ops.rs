use super::operands::{Operands, grad, leaf, read};
use crate::catalogue::{ActivationCase, DenseCase, DepthwiseCase, GroupedCase, Kind, PoolCase};
use crate::peers::linked::Work;
use candle_core::{D, Result, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;

type Made = std::result::Result<Work, String>;

const EPSILON: f64 = 1e-5;

/// The case that `arguments` describe.
fn case<C: DeserializeOwned>(arguments: &Value) -> std::result::Result<C, String> {
    serde_json::from_value(arguments.clone()).map_err(|error| error.to_string())
}

/// What a convolution is told beside its operands.
#[derive(Clone, Copy)]
struct Conv {
    padding: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
}

pub fn depthwise(operands: &Operands, phase: &str, arguments: &Value) -> Made {
    let case: DepthwiseCase = case(arguments)?;
    let conv = Conv {
        padding: case.dilation * (case.k / 2),
        stride: case.stride,
        dilation: case.dilation,
        groups: case.c,
    };
    // [kh, kw, co] to [co, 1, kh, kw]
    let weight = operands.permuted(1, &[2, 0, 1])?.unsqueeze(1);
    let weight = weight.map_err(|error| error.to_string())?;
    convolution(operands, phase, weight, conv, |grad| {
        grad.squeeze(1)?.permute((1, 2, 0))
    })
}

pub fn grouped(operands: &Operands, phase: &str, arguments: &Value) -> Made {
    let GroupedCase {
        k, stride, groups, ..
    } = case(arguments)?;
    of_square(operands, phase, k, stride, groups)
}

pub fn dense(operands: &Operands, phase: &str, arguments: &Value) -> Made {
    let DenseCase { k, stride, .. } = case(arguments)?;
    of_square(operands, phase, k, stride, 1)
}

fn of_square(operands: &Operands, phase: &str, k: usize, stride: usize, groups: usize) -> Made {
    let conv = Conv {
        padding: k / 2,
        stride,
        dilation: 1,
        groups,
    };
    // [kh, kw, ci, co] to [co, ci, kh, kw]
    let weight = operands.permuted(1, &[3, 2, 0, 1])?;
    convolution(operands, phase, weight, conv, |grad| {
        grad.permute((2, 3, 1, 0))
    })
}

/// `back` brings a gradient of the weights into our order.
fn convolution(
    operands: &Operands,
    phase: &str,
    weight: Tensor,
    conv: Conv,
    back: fn(&Tensor) -> Result<Tensor>,
) -> Made {
    let (images, x) = (operands.images, operands.image(0)?);
    let forward = move |x: &Tensor, weight: &Tensor| {
        let x = images.theirs(x)?;
        x.conv2d(
            weight,
            conv.padding,
            conv.stride,
            conv.dilation,
            conv.groups,
        )
    };
    if phase == "forward" {
        return Ok(operands.work(move || Ok(vec![images.read(&forward(&x, &weight)?)?])));
    }
    let g = operands.image(2)?;
    if phase == "grad_input" {
        let leaf = leaf(&x)?;
        let of = leaf.clone();
        return Ok(operands.backward(
            move || (forward(&of, &weight)? * images.theirs(&g)?)?.sum_all(),
            move |grads| Ok(vec![images.read_of(&leaf, grads)?]),
        ));
    }
    let leaf = leaf(&weight)?;
    let of = leaf.clone();
    Ok(operands.backward(
        move || (forward(&x, &of)? * images.theirs(&g)?)?.sum_all(),
        move |grads| Ok(vec![read(&back(&grad(&leaf, grads)?)?)]),
    ))
}

pub fn activation(operands: &Operands, phase: &str, arguments: &Value) -> Made {
    let ActivationCase { kind, .. } = case(arguments)?;
    let apply: fn(&Tensor) -> Result<Tensor> = match kind {
        Kind::Relu => Tensor::relu,
        Kind::Silu => Tensor::silu,
        Kind::HardSwish => |x| {
            x * x
                .affine(1.0, 3.0)?
                .clamp(0f32, 6f32)?
                .affine(1.0 / 6.0, 0.0)?
        },
    };
    of_one(operands, phase, apply)
}

pub fn softmax(operands: &Operands, phase: &str, _: &Value) -> Made {
    of_one(operands, phase, |x| {
        let exp = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
        exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
    })
}

/// A function of one operand, whose output's gradient is the other.
fn of_one(operands: &Operands, phase: &str, apply: fn(&Tensor) -> Result<Tensor>) -> Made {
    let x = operands.tensor(0)?;
    if phase == "forward" {
        return Ok(operands.work(move || Ok(vec![read(&apply(&x)?)])));
    }
    let (x, g) = (leaf(&x)?, operands.tensor(1)?);
    let of = x.clone();
    Ok(operands.backward(
        move || (apply(&of)? * &g)?.sum_all(),
        move |grads| Ok(vec![read(&grad(&x, grads)?)]),
    ))
}

pub fn layer_norm(operands: &Operands, phase: &str, _: &Value) -> Made {
    let forward = |x: &Tensor, gamma: &Tensor, beta: &Tensor| {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + EPSILON)?.sqrt()?;
        centred
            .broadcast_div(&deviation)?
            .broadcast_mul(gamma)?
            .broadcast_add(beta)
    };
    let [x, gamma, beta] = [
        operands.tensor(0)?,
        operands.tensor(1)?,
        operands.tensor(2)?,
    ];
    if phase == "forward" {
        return Ok(operands.work(move || Ok(vec![read(&forward(&x, &gamma, &beta)?)])));
    }
    let (leaves, g) = (
        [leaf(&x)?, leaf(&gamma)?, leaf(&beta)?],
        operands.tensor(3)?,
    );
    let of = leaves.clone();
    Ok(operands.backward(
        move || (forward(&of[0], &of[1], &of[2])? * &g)?.sum_all(),
        move |grads| {
            leaves
                .iter()
                .map(|leaf| Ok(read(&grad(leaf, grads)?)))
                .collect()
        },
    ))
}

pub fn batch_norm_relu(operands: &Operands, _: &str, _: &Value) -> Made {
    let per_channel = |i: usize| {
        let tensor = operands.tensor(i)?.reshape((1, (), 1, 1));
        leaf(&tensor.map_err(|error| error.to_string())?)
    };
    let (images, x, g) = (
        operands.images,
        leaf(&operands.image(0)?)?,
        operands.image(3)?,
    );
    let (gamma, beta) = (per_channel(1)?, per_channel(2)?);
    Ok(operands.work(move || {
        let seen = images.theirs(&x)?;
        let centred = seen.broadcast_sub(&seen.mean_keepdim((0, 2, 3))?)?;
        let deviation = (centred.sqr()?.mean_keepdim((0, 2, 3))? + EPSILON)?.sqrt()?;
        let normed = centred.broadcast_div(&deviation)?.broadcast_mul(&gamma)?;
        let y = normed.broadcast_add(&beta)?.relu()?;
        let grads = (&y * images.theirs(&g)?)?.sum_all()?.backward()?;
        let [of_gamma, of_beta] = [grad(&gamma, &grads)?, grad(&beta, &grads)?];
        let (y, of_x) = (images.read(&y.detach())?, images.read_of(&x, &grads)?);
        Ok(vec![y, of_x, read(&of_gamma), read(&of_beta)])
    }))
}

pub fn max_pool(operands: &Operands, _: &str, arguments: &Value) -> Made {
    let PoolCase { k, .. } = case(arguments)?;
    let (images, x) = (operands.images, operands.image(0)?);
    Ok(operands.work(move || {
        let y = images.theirs(&x)?.max_pool2d(k)?;
        Ok(vec![images.read(&y)?])
    }))
}

pub fn average_pool(operands: &Operands, phase: &str, arguments: &Value) -> Made {
    let PoolCase { n, h, w, c, k, .. } = case(arguments)?;
    let (images, given) = (operands.images, operands.image(0)?);
    if phase == "forward" {
        return Ok(operands.work(move || {
            let y = images.theirs(&given)?.avg_pool2d(k)?;
            Ok(vec![images.read(&y)?])
        }));
    }
    // The gradient needs the image's shape alone.
    let shape = match images {
        super::Images::Theirs => [n, c, h, w],
        super::Images::Converted => [n, h, w, c],
    };
    let x = Tensor::zeros(&shape, candle_core::DType::F32, given.device());
    let x = x.map_err(|error| error.to_string())?;
    let x = leaf(&x)?;
    let of = x.clone();
    Ok(operands.backward(
        move || (images.theirs(&of)?.avg_pool2d(k)? * images.theirs(&given)?)?.sum_all(),
        move |grads| Ok(vec![images.read_of(&x, grads)?]),
    ))
}
