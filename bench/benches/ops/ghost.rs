//! Ghost modules: a training step forwards and backwards, and inference.

use crate::ghost_unfused;
use ghostlight_autodiff::Tensor;
use ghostlight_bench::catalogue::{self, GhostCase};
use ghostlight_bench::{
    Case, DTYPE, Expected, Input, Operands, Phase, Suite, SuiteError, Variant, values,
};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::dense::{self, ConvOptions, ConvProblem};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions, DepthwiseProblem};
use ghostlight_kernels::ghost::module::reference::{self, Weights};
use ghostlight_kernels::ghost::module::{self, Ghost, GhostProblem, Scales, cost};
use ghostlight_kernels::norm::batch_norm::{BatchNorm, reference::Layer};
use std::rc::Rc;

const OP: &str = "ghost_module";
const EPSILON: f64 = 1e-5;
/// Values nearer to 0 than this have no certain sign in f32.
const CORNER: f64 = 1e-5;
/// What such values may add to the gradient of a weight, a sum over 400 pixels and more, as a share of the largest.
const OF_CORNERS: f64 = 0.01;

fn problem(case: &GhostCase) -> GhostProblem {
    let m = case.co.div_ceil(2);
    GhostProblem {
        primary: ConvProblem {
            batch: case.n,
            input: [case.h, case.w],
            kernel: [1; 2],
            in_channels: case.ci,
            out_channels: m,
            options: ConvOptions::square(1, 0),
            dtype: DTYPE,
        },
        cheap: DepthwiseProblem {
            batch: case.n,
            input: [case.h, case.w],
            kernel: [3; 2],
            channels: m,
            multiplier: 1,
            options: DepthwiseOptions::square(1, 1),
            dtype: DTYPE,
        },
        channels: case.co,
    }
}

/// `x`, both weights, gamma and beta of both norms, the output's gradient.
fn inputs(problem: &GhostProblem) -> Vec<Input> {
    let m = problem.primary.out_channels;
    vec![
        Input::random(1, &problem.primary.input_shape()),
        Input::random(2, &problem.primary.weight_shape()),
        Input::random(3, &problem.cheap.weight_shape()),
        Input::between(4, &[m], 0.5, 1.5),
        Input::random(5, &[m]),
        Input::random(6, &problem.output_shape()),
    ]
}

/// A norm whose running statistics are a fresh layer's.
fn norm(t: &Operands) -> BatchNorm {
    let c = t[3].len();
    let fresh = |value: f64| Tensor::from_f64(t[3].client(), &vec![value; c], &[c], DTYPE);
    BatchNorm {
        gamma: t[3].clone(),
        beta: t[4].clone(),
        running_mean: Tensor::zeros(t[3].client(), &[c], DTYPE),
        running_var: fresh(1.0).unwrap_or_else(|_| t[3].clone()),
        epsilon: EPSILON,
        momentum: 0.1,
    }
}

/// The module on the operands; both halves have norms of their own, with equal parameters.
pub struct Module {
    operands: Rc<Operands>,
    pub norms: [BatchNorm; 2],
    channels: usize,
}

impl Module {
    pub fn new(operands: Rc<Operands>, channels: usize) -> Self {
        Self {
            norms: [norm(&operands), norm(&operands)],
            operands,
            channels,
        }
    }

    fn ghost(&self) -> Ghost<'_> {
        Ghost {
            primary: &self.operands[1],
            primary_norm: &self.norms[0],
            cheap: &self.operands[2],
            cheap_norm: &self.norms[1],
            options: ConvOptions::square(1, 0),
            channels: self.channels,
            clamp: Clamp::Relu,
        }
    }
}

fn weights(v: &[Vec<f64>]) -> Weights<'_> {
    let layer = || Layer {
        gamma: &v[3],
        beta: &v[4],
        epsilon: EPSILON,
        residual: None,
        clamp: Clamp::Relu,
    };
    Weights {
        primary: &v[1],
        primary_norm: layer(),
        cheap: &v[2],
        cheap_norm: layer(),
    }
}

/// Makes the gradient of every pixel NaN that a value at the corner of either ReLU reaches.
fn leave_corners_out(problem: &GhostProblem, v: &[Vec<f64>], input: &mut [f64]) {
    let (m, [h, w]) = (problem.primary.out_channels, problem.primary.input);
    let mut weights = weights(v);
    let p = dense::reference::forward(&problem.primary, &v[0], weights.primary);
    let activated = weights.primary_norm.forward(&p).output;
    let q = depthwise::reference::forward(&problem.cheap, &activated, weights.cheap, None);
    weights.primary_norm.clamp = Clamp::None;
    weights.cheap_norm.clamp = Clamp::None;
    let halves = [
        weights.primary_norm.forward(&p).output,
        weights.cheap_norm.forward(&q).output,
    ];
    let corners = halves.iter().flat_map(|half| {
        let pixels = half.chunks(m).enumerate();
        pixels.filter(|(_, pixel)| pixel.iter().any(|value| value.abs() < CORNER))
    });
    for (at, _) in corners {
        let (image, y, x) = (at / (h * w), at / w % h, at % w);
        for (y, x) in (y.saturating_sub(1)..=y + 1)
            .flat_map(|y| (x.saturating_sub(1)..=x + 1).map(move |x| (y, x)))
        {
            if y < h && x < w {
                let channels = problem.primary.in_channels;
                input[((image * h + y) * w + x) * channels..][..channels].fill(f64::NAN);
            }
        }
    }
}

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::ghost())? {
        let (name, problem, channels) = (case.name(), problem(&case), case.co);
        let infer = Variant::prepared("ours", move |t| {
            let module = Module::new(t.clone(), channels);
            let scales = Scales::of(&module.ghost())?;
            Ok(Box::new(move || {
                Ok(vec![module::infer(&t[0], &module.ghost(), &scales)?])
            }))
        });
        let mut operands = inputs(&problem);
        let train_operands = operands.clone();
        operands.truncate(5);
        let fresh = |v: &[Vec<f64>]| [vec![0.0; v[3].len()], vec![1.0; v[3].len()]];
        suite.phase(
            Phase::of(
                [OP, &name, "inference"],
                cost::infer(&problem),
                operands,
                |v| {
                    let [mean, var] = fresh(v);
                    let running = [[&mean[..], &var[..]]; 2];
                    values(reference::infer(&problem, &weights(v), running, &v[0]))
                },
                infer,
            )
            .beside(ghost_unfused::inference(channels))
            .for_peers(&case.arguments()),
        )?;
        let train = Variant::prepared("ours", move |t| {
            let module = Module::new(t.clone(), channels);
            Ok(Box::new(move || {
                let (y, saved) = module::train(&t[0], &module.ghost())?;
                let grads = module::backward(&module.ghost(), saved, &t[5])?;
                Ok(vec![y, grads.input, grads.primary, grads.cheap])
            }))
        });
        suite.phase(
            Phase::of(
                [OP, &name, "train"],
                cost::train(&problem) + cost::backward(&problem),
                train_operands,
                |v| {
                    let y = reference::train(&problem, &weights(v), &v[0]);
                    let grads = reference::backward(&problem, &weights(v), &v[0], &v[5]);
                    let [mut input, primary, _, _, cheap, _, _] = grads;
                    leave_corners_out(&problem, v, &mut input);
                    let [primary, cheap] = [primary, cheap].map(|grad| {
                        let largest = grad.iter().fold(0.0f64, |most, g| most.max(g.abs()));
                        let slack = vec![OF_CORNERS * largest; grad.len()];
                        Expected::Within(grad, slack)
                    });
                    vec![Expected::Values(y), Expected::Values(input), primary, cheap]
                },
                train,
            )
            .beside(ghost_unfused::train(channels))
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
