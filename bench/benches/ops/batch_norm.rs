//! Batch norm and ReLU, forward and backward of one training step.

use ghostlight_autodiff::Tensor;
use ghostlight_bench::{
    Case, DTYPE, Expected, Input, Operands, Phase, Suite, SuiteError, Variant, catalogue,
};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::norm::batch_norm::reference::Layer;
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm, BatchNormProblem, cost};
use ghostlight_kernels::pointwise::activation::{self, Activation, activation};

const OP: &str = "batch_norm_relu";
const EPSILON: f64 = 1e-5;
/// Values nearer to 0 than this have no certain sign in f32.
const CORNER: f64 = 3e-5;

/// The layer. Its running statistics are its own: they change from call to call, and no output reads them.
pub fn norm(t: &Operands) -> BatchNorm {
    let c = t[1].len();
    BatchNorm {
        gamma: t[1].clone(),
        beta: t[2].clone(),
        running_mean: Tensor::zeros(t[0].client(), &[c], DTYPE),
        running_var: Tensor::zeros(t[0].client(), &[c], DTYPE),
        epsilon: EPSILON,
        momentum: 0.1,
    }
}

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::maps())? {
        let (name, shape, c) = (case.name(), case.shape(), case.c);
        let problem = BatchNormProblem {
            pixels: case.n * case.h * case.w,
            channels: c,
            dtype: DTYPE,
        };
        let ours = Variant::prepared("ours", |t| {
            let norm = norm(&t);
            Ok(Box::new(move || {
                let (y, saved) = batch_norm::train(&t[0], &norm, None, Clamp::Relu)?;
                let grads = batch_norm::backward(&norm, saved, &t[3])?;
                Ok(vec![y, grads.input, grads.gamma, grads.beta])
            }))
        });
        let unfused = Variant::prepared("unfused", |t| {
            let norm = norm(&t);
            Ok(Box::new(move || {
                let (before, saved) = batch_norm::train(&t[0], &norm, None, Clamp::None)?;
                let y = activation(&before, Activation::Relu);
                let grad = activation::backward(&before, &t[3], Activation::Relu)?;
                let grads = batch_norm::backward(&norm, saved, &grad)?;
                Ok(vec![y, grads.input, grads.gamma, grads.beta])
            }))
        });
        let reference = |v: &[Vec<f64>]| {
            let layer = |clamp| Layer {
                gamma: &v[1],
                beta: &v[2],
                epsilon: EPSILON,
                residual: None,
                clamp,
            };
            let [mut input, _, gamma, beta] = layer(Clamp::Relu).backward(&v[0], &v[3]);
            let before = layer(Clamp::None).forward(&v[0]).output;
            // On which side of the ReLU's corner a value lies may be a matter of rounding: its own gradient then has no one
            // value, and the sums over its channel have one give or take its part.
            let (mut gamma_slack, mut beta_slack) = (vec![0.0; c], vec![0.0; c]);
            for (i, before) in before.iter().enumerate() {
                if before.abs() < CORNER {
                    let (channel, hat) = (i % c, (before - v[2][i % c]) / v[1][i % c]);
                    input[i] = f64::NAN;
                    gamma_slack[channel] += (v[3][i] * hat).abs();
                    beta_slack[channel] += v[3][i].abs();
                }
            }
            let relu = |before| activation::reference::value(before, Activation::Relu);
            let y = before.into_iter().map(relu).collect();
            vec![
                Expected::Values(y),
                Expected::Values(input),
                Expected::Within(gamma, gamma_slack),
                Expected::Within(beta, beta_slack),
            ]
        };
        suite.phase(
            Phase::of(
                [OP, &name, "train"],
                cost::forward(&problem, false) + cost::backward(&problem, false),
                vec![
                    Input::random(1, &shape),
                    Input::between(2, &[c], 0.5, 1.5),
                    Input::random(3, &[c]),
                    Input::random(4, &shape),
                ],
                reference,
                ours,
            )
            .beside(unfused)
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
