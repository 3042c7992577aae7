//! Norms, softmax and what works element by element. Only batch norm cares about the order of an image's memory.

use super::case;
use super::operands::{Operands, leaf, of, read};
use crate::catalogue::{ActivationCase, Kind};
use crate::peers::linked::Work;
use burn_tensor::Tensor;
use burn_tensor::activation::{hard_sigmoid, hard_swish, relu, silu, softmax, softsign};
use burn_tensor::module::{batch_norm_train, layer_norm};
use serde_json::Value;

const EPSILON: f64 = 1e-5;

pub fn activation(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let ActivationCase { kind, .. } = case(arguments)?;
    let apply: fn(Tensor<4>) -> Tensor<4> = match kind {
        Kind::Relu => relu,
        Kind::Silu => silu,
        Kind::HardSwish => hard_swish,
    };
    Ok(of_one(operands, phase, apply))
}

pub fn soft_sign(operands: &Operands, phase: &str, _: &Value) -> Result<Work, String> {
    Ok(of_one::<1>(operands, phase, softsign))
}

pub fn softmaxes(operands: &Operands, phase: &str, _: &Value) -> Result<Work, String> {
    Ok(of_one::<2>(operands, phase, |x| softmax(x, 1)))
}

/// A function of one operand, whose output's gradient is the other.
fn of_one<const D: usize>(
    operands: &Operands,
    phase: &str,
    apply: fn(Tensor<D>) -> Tensor<D>,
) -> Work {
    let x = operands.tensor::<D>(0);
    if phase == "forward" {
        return operands.work(move |_| vec![read(apply(x.clone()))]);
    }
    let (x, grad) = (leaf(x), operands.tensor::<D>(1));
    let input = x.clone();
    operands.backward(
        move || (apply(input.clone()) * grad.clone()).sum(),
        move |grads| vec![of(&x, grads)],
    )
}

pub fn layer_norms(operands: &Operands, phase: &str, _: &Value) -> Result<Work, String> {
    let x = operands.tensor::<3>(0);
    let [gamma, beta] = [1, 2].map(|i| operands.tensor::<1>(i));
    if phase == "forward" {
        return Ok(operands.work(move |_| {
            let beta = Some(beta.clone());
            vec![read(layer_norm(x.clone(), gamma.clone(), beta, EPSILON))]
        }));
    }
    let (x, gamma, beta) = (leaf(x), leaf(gamma), leaf(beta));
    let (grad, leaves) = (
        operands.tensor::<3>(3),
        (x.clone(), gamma.clone(), beta.clone()),
    );
    Ok(operands.backward(
        move || {
            let y = layer_norm(x.clone(), gamma.clone(), Some(beta.clone()), EPSILON);
            (y * grad.clone()).sum()
        },
        move |grads| {
            let (x, gamma, beta) = &leaves;
            vec![of(x, grads), of(gamma, grads), of(beta, grads)]
        },
    ))
}

pub fn batch_norm_relu(operands: &Operands, _: &str, _: &Value) -> Result<Work, String> {
    let (x, grad) = (leaf(operands.image(0)), operands.image(3));
    let [gamma, beta] = [1, 2].map(|i| leaf(operands.tensor::<1>(i)));
    Ok(operands.work(move |row| {
        let normed = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON);
        let y = relu(normed.output);
        let grads = (y.clone() * grad.clone()).sum().backward();
        let [gamma, beta] = [&gamma, &beta].map(|leaf| of(leaf, &grads));
        vec![row.image(y.inner()), row.image_of(&x, &grads), gamma, beta]
    }))
}

/// `[n, c]` as something of every pixel.
fn of_pixels(per_image: Tensor<2>) -> Tensor<4> {
    let [n, c] = per_image.dims();
    per_image.reshape([n, 1, 1, c])
}

pub fn gate(operands: &Operands, phase: &str, _: &Value) -> Result<Work, String> {
    let gated = |x: Tensor<4>, s: Tensor<2>| x * of_pixels(hard_sigmoid(s, 1.0 / 6.0, 0.5));
    let (x, s) = (operands.tensor::<4>(0), operands.tensor::<2>(1));
    if phase == "forward" {
        return Ok(operands.work(move |_| vec![read(gated(x.clone(), s.clone()))]));
    }
    let (x, s, grad) = (leaf(x), leaf(s), operands.tensor::<4>(2));
    let leaves = (x.clone(), s.clone());
    Ok(operands.backward(
        move || (gated(x.clone(), s.clone()) * grad.clone()).sum(),
        move |grads| vec![of(&leaves.0, grads), of(&leaves.1, grads)],
    ))
}

pub fn add_relu(operands: &Operands, phase: &str, _: &Value) -> Result<Work, String> {
    let sum = |x: Tensor<4>, m: Tensor<2>| relu(x + of_pixels(m));
    let x = operands.tensor::<4>(0);
    if phase == "forward" {
        let m = operands.tensor::<2>(1);
        return Ok(operands.work(move |_| vec![read(sum(x.clone(), m.clone()))]));
    }
    // The operand is the output: a sum with nothing has the same.
    let [n, _, _, c] = x.dims();
    let (x, m) = (leaf(x), leaf(Tensor::zeros([n, c], &operands.row.device)));
    let (grad, leaves) = (operands.tensor::<4>(1), (x.clone(), m.clone()));
    Ok(operands.backward(
        move || (sum(x.clone(), m.clone()) * grad.clone()).sum(),
        move |grads| vec![of(&leaves.0, grads), of(&leaves.1, grads)],
    ))
}
