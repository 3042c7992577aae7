//! A batch norm with ReLU and the convolution that reads it, in training: the output, and the gradient of the convolution's weight.

use crate::batch_norm::norm;
use ghostlight_autodiff::{KernelError, Tensor};
use ghostlight_bench::catalogue::{self, ChainCase};
use ghostlight_bench::{Case, DTYPE, Expected, Input, Operands, Phase, Suite, SuiteError, Variant};
use ghostlight_kernels::conv::dense::{self, ConvOptions, ConvProblem};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions, DepthwiseProblem};
use ghostlight_kernels::conv::grouped::{self, GroupedProblem};
use ghostlight_kernels::norm::batch_norm::{self, BatchNormProblem, reference::Layer};
use ghostlight_kernels::{Clamp, Cost, Source};

const OP: &str = "norm_conv";
const EPSILON: f64 = 1e-5;

/// The convolution of a case.
#[derive(Clone, Copy)]
enum Reader {
    Dense(ConvProblem),
    Grouped(GroupedProblem),
    Depthwise(DepthwiseProblem),
}

impl Reader {
    fn new(case: &ChainCase) -> Self {
        let options = ConvOptions::square(case.s, case.k / 2);
        let (batch, input, kernel) = (case.n, [case.h, case.w], [case.k; 2]);
        if case.g == 1 {
            Self::Dense(ConvProblem {
                batch,
                input,
                kernel,
                in_channels: case.ci,
                out_channels: case.co,
                options,
                dtype: DTYPE,
            })
        } else if case.g == case.ci {
            Self::Depthwise(DepthwiseProblem {
                batch,
                input,
                kernel,
                channels: case.ci,
                multiplier: case.co / case.ci,
                options: DepthwiseOptions::square(case.s, case.k / 2),
                dtype: DTYPE,
            })
        } else {
            Self::Grouped(GroupedProblem {
                batch,
                input,
                kernel,
                in_channels: case.ci,
                out_channels: case.co,
                groups: case.g,
                options,
                dtype: DTYPE,
            })
        }
    }

    fn weight_shape(&self) -> Vec<usize> {
        match self {
            Self::Dense(problem) => problem.weight_shape().to_vec(),
            Self::Grouped(problem) => problem.weight_shape().to_vec(),
            Self::Depthwise(problem) => problem.weight_shape().to_vec(),
        }
    }

    fn output_shape(&self) -> [usize; 4] {
        match self {
            Self::Dense(problem) => problem.output_shape(),
            Self::Grouped(problem) => problem.output_shape(),
            Self::Depthwise(problem) => problem.output_shape(),
        }
    }

    /// Of the output, and of the weight's gradient.
    fn costs(&self) -> [Cost; 2] {
        match self {
            Self::Dense(problem) => [
                dense::cost::forward(problem),
                dense::cost::grad_weight(problem),
            ],
            Self::Grouped(problem) => [
                grouped::cost::forward(problem),
                grouped::cost::grad_weight(problem),
            ],
            Self::Depthwise(problem) => [
                depthwise::cost::forward(problem),
                depthwise::cost::grad_weight(problem),
            ],
        }
    }

    fn read(&self, x: Source, t: &Operands) -> Result<Vec<Tensor>, KernelError> {
        let (w, grad) = (&t[3], &t[4]);
        Ok(match self {
            Self::Dense(ConvProblem { options, .. }) => vec![
                dense::conv(x.clone(), w, *options)?,
                dense::grad_weight(x, w, grad, *options)?,
            ],
            Self::Grouped(GroupedProblem {
                groups, options, ..
            }) => vec![
                grouped::conv(x.clone(), w, *groups, *options)?,
                grouped::grad_weight(x, w, grad, *groups, *options)?,
            ],
            Self::Depthwise(DepthwiseProblem { options, .. }) => vec![
                depthwise::depthwise(x.clone(), w, None, *options)?,
                depthwise::grad_weight(x, w, grad, *options)?,
            ],
        })
    }

    fn reference(&self, v: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let layer = Layer {
            gamma: &v[1],
            beta: &v[2],
            epsilon: EPSILON,
            residual: None,
            clamp: Clamp::Relu,
        };
        let z = layer.forward(&v[0]).output;
        match self {
            Self::Dense(problem) => vec![
                dense::reference::forward(problem, &z, &v[3]),
                dense::reference::grad_weight(problem, &z, &v[4]),
            ],
            Self::Grouped(problem) => vec![
                grouped::reference::forward(problem, &z, &v[3]),
                grouped::reference::grad_weight(problem, &z, &v[4]),
            ],
            Self::Depthwise(problem) => vec![
                depthwise::reference::forward(problem, &z, &v[3], None),
                depthwise::reference::grad_weight(problem, &z, &v[4]),
            ],
        }
    }
}

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::chains())? {
        let (name, reader) = (case.name(), Reader::new(&case));
        let problem = BatchNormProblem {
            pixels: case.n * case.h * case.w,
            channels: case.ci,
            dtype: DTYPE,
        };
        let ours = Variant::prepared("ours", move |t| {
            let norm = norm(&t);
            Ok(Box::new(move || {
                let saved = batch_norm::open(&t[0], &norm, Clamp::Relu)?;
                let affine = saved.affine(&norm);
                reader.read(Source::through(&t[0], &affine), &t)
            }))
        });
        let unfused = Variant::prepared("unfused", move |t| {
            let norm = norm(&t);
            Ok(Box::new(move || {
                let (z, _) = batch_norm::train(&t[0], &norm, None, Clamp::Relu)?;
                reader.read((&z).into(), &t)
            }))
        });
        let [forward, grad_weight] = reader.costs();
        let c = [case.ci];
        suite.phase(
            Phase::of(
                [OP, &name, "train"],
                batch_norm::cost::statistics(&problem) + forward + grad_weight,
                vec![
                    Input::random(1, &[case.n, case.h, case.w, case.ci]),
                    Input::between(2, &c, 0.5, 1.5),
                    Input::random(3, &c),
                    Input::random(4, &reader.weight_shape()),
                    Input::random(5, &reader.output_shape()),
                ],
                |v| {
                    reader
                        .reference(v)
                        .into_iter()
                        .map(Expected::Values)
                        .collect()
                },
                ours,
            )
            .beside(unfused),
        )?;
    }
    Ok(())
}
