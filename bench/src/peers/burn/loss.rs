//! Losses, each as a user would write it with burn's tensors, and their gradients by its autodiff.

use super::case;
use super::operands::{Operands, leaf, of, read};
use crate::catalogue::{Compared, CosineCase};
use crate::peers::linked::Work;
use burn_tensor::activation::{log_softmax, softmax};
use burn_tensor::{Int, Tensor};
use serde_json::Value;

const TEMPERATURE: f64 = 4.0;
const SMOOTHING: f64 = 0.1;
const BETA: f64 = 8.0;
const KD_WEIGHT: f64 = 0.9;
/// Of the dual-teacher loss.
const TEACHERS_TEMPERATURE: f64 = 5.0;

/// The loss of a student's logits or features, which are the first operand, with its gradient.
fn with_grad(operands: &Operands, loss: impl Fn(Tensor<2>) -> Tensor<1> + Clone + 'static) -> Work {
    let student = leaf(operands.tensor::<2>(0));
    operands.work(move |_| {
        let loss = loss(student.clone());
        let grads = loss.backward();
        vec![read(loss.inner()), of(&student, &grads)]
    })
}

/// Kullback-Leibler divergence from logarithms of probabilities, a sample's mean.
fn divergence(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let n = student.dims()[0] as f64;
    (teacher.clone().exp() * (teacher - student)).sum() / n
}

fn softened(logits: Tensor<2>, temperature: f64) -> Tensor<2> {
    log_softmax(logits / temperature, 1)
}

fn kd_loss(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let [student, teacher] = [student, teacher].map(|logits| softened(logits, TEMPERATURE));
    divergence(student, teacher) * TEMPERATURE.powi(2)
}

fn dkd_loss(student: Tensor<2>, teacher: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let target = labels.one_hot::<2>(student.dims()[1]).float();
    let [student, teacher] = [student, teacher].map(|logits| logits / TEMPERATURE);
    // The probabilities of the target and of all else, in logarithms.
    let pair = |logits: &Tensor<2>| {
        let hit = (softmax(logits.clone(), 1) * target.clone()).sum_dim(1);
        Tensor::cat(vec![hit.clone(), hit.neg() + 1.0], 1).log()
    };
    let others = |logits: Tensor<2>| log_softmax(logits - target.clone() * 1000.0, 1);
    let of_target = divergence(pair(&student), pair(&teacher));
    let of_others = divergence(others(student), others(teacher));
    (of_target + of_others * BETA) * TEMPERATURE.powi(2)
}

fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let [n, classes] = logits.dims();
    let log_p = log_softmax(logits, 1);
    let hit = log_p.clone().gather(1, labels.unsqueeze_dim(1)).sum();
    let all = log_p.sum() * (smoothing / classes as f64);
    (hit * (1.0 - smoothing) + all) / -(n as f64)
}

pub fn kd(operands: &Operands, _: &str, _: &Value) -> Result<Work, String> {
    let teacher = operands.tensor::<2>(1);
    Ok(with_grad(operands, move |student| {
        kd_loss(student, teacher.clone())
    }))
}

pub fn dkd(operands: &Operands, _: &str, _: &Value) -> Result<Work, String> {
    let (teacher, labels) = (operands.tensor::<2>(1), operands.labels(2));
    Ok(with_grad(operands, move |student| {
        dkd_loss(student, teacher.clone(), labels.clone())
    }))
}

pub fn distill(operands: &Operands, _: &str, _: &Value) -> Result<Work, String> {
    let (teacher, labels) = (operands.tensor::<2>(1), operands.labels(2));
    Ok(with_grad(operands, move |student| {
        cross_entropy(student.clone(), labels.clone(), SMOOTHING)
            + kd_loss(student.clone(), teacher.clone()) * KD_WEIGHT
            + dkd_loss(student, teacher.clone(), labels.clone())
    }))
}

/// The weights of two teachers by their mean confidences, and that of their sum beside the labels.
fn weights(sure: [f64; 2]) -> [f64; 2] {
    let weak = |sure: f64| (0.5 - (0.6 - sure)).max(0.1);
    match sure.map(|sure| sure < 0.6) {
        _ if sure.iter().all(|&sure| sure < 0.4) => [0.0, 0.0],
        [true, true] => sure.map(weak),
        [true, false] => [0.3, 0.7],
        [false, true] => [0.7, 0.3],
        [false, false] => [0.5, 0.5],
    }
}

pub fn dual_teacher(operands: &Operands, _: &str, _: &Value) -> Result<Work, String> {
    const T: f64 = TEACHERS_TEMPERATURE;
    let (teachers, labels) = ([1, 2].map(|i| operands.tensor::<2>(i)), operands.labels(3));
    Ok(with_grad(operands, move |student| {
        let log_q = teachers.clone().map(|logits| softened(logits, T));
        let sure = log_q.clone().map(|log_q| {
            let mean: f32 = log_q.exp().max_dim(1).mean().into_scalar();
            f64::from(mean)
        });
        let [alpha, beta] = weights(sure);
        let w = (alpha + beta) / 2.0;
        let log_p = softened(student.clone(), T);
        let [first, second] = log_q.map(|log_q| divergence(log_p.clone(), log_q));
        cross_entropy(student, labels.clone(), 0.0) * (1.0 - w)
            + (first * alpha + second * beta) * (w * T * T)
    }))
}

pub fn cosine(operands: &Operands, _: &str, arguments: &Value) -> Result<Work, String> {
    let CosineCase {
        between,
        temperature,
        ..
    } = case(arguments)?;
    let compared = move |x: Tensor<2>| match between {
        Compared::Softmaxes => softmax(x / temperature, 1),
        Compared::Centred => x.clone() - x.mean_dim(1),
        Compared::Features => x,
    };
    let teacher = operands.tensor::<2>(1);
    Ok(with_grad(operands, move |student| {
        let [s, t] = [student, teacher.clone()].map(compared);
        let norms = (s.clone().square().sum_dim(1) * t.clone().square().sum_dim(1)).sqrt();
        ((s * t).sum_dim(1) / norms).mean().neg() + 1.0
    }))
}
