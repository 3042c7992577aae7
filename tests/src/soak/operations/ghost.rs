use super::{Draw, Problem, len};
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops::{self, Statistics};
use ghostlight_autodiff::{Client, KernelError};
use ghostlight_kernels::conv::dense::{ConvOptions, ConvProblem};
use ghostlight_kernels::conv::depthwise::{DepthwiseOptions, DepthwiseProblem};
use ghostlight_kernels::ghost::mix::{MixProblem, reference as mixing};
use ghostlight_kernels::ghost::module::{GhostProblem, reference as module};
use ghostlight_kernels::norm::batch_norm::reference::Layer;
use ghostlight_kernels::{Clamp, DType, Tensor};

const EPSILON: f64 = 0.125;
/// Two norms behind each other, whose statistics are of few pixels.
const FACTOR: f64 = 24.0;
/// A shift before a norm changes nothing, so that the terms of its gradient cancel.
const FLOOR: f64 = 0.125;
/// Between the layers 16 bits round what the last norm then divides by its deviation: their own tests hold them to that.
const WIDE: [DType; 2] = [DType::F32, DType::F64];

fn norm(
    client: &Client,
    channels: usize,
    clamp: Clamp,
    dtype: DType,
) -> Result<ops::BatchNorm, KernelError> {
    let row = || Tensor::zeros(client, &[channels], dtype.accumulator());
    Ok(ops::BatchNorm {
        running_mean: row(),
        running_var: row(),
        epsilon: EPSILON,
        momentum: 0.125,
        clamp,
        statistics: Statistics::Batch,
        scale: None,
        into: None,
    })
}

fn layer<'a>(gamma: &'a [f64], beta: &'a [f64], clamp: Clamp) -> Layer<'a> {
    Layer {
        gamma,
        beta,
        epsilon: EPSILON,
        residual: None,
        clamp,
    }
}

/// Above 1/2, so that no channel vanishes.
fn gammas(draw: &mut Draw, count: usize) -> Vec<f64> {
    draw.exact(count)
        .iter()
        .map(|v| v.abs() / 2.0 + 0.5)
        .collect()
}

pub fn ghost(mut draw: Draw) -> Problem {
    draw.finite();
    let clamp = draw.pick("clamp", &[Clamp::None, Clamp::Relu]);
    let kernel = draw.pick("kernel", &[1, 3]);
    let [d, ratio] = [
        draw.pick("cheap kernel", &[3, 5]),
        draw.pick("ratio", &[1, 2]),
    ];
    let batch = draw.extent("n", 2, 3);
    let input = [draw.extent("h", 3, 6), draw.extent("w", 3, 6)];
    let in_channels = draw.extent("ci", 1, 12);
    let m = draw.extent("m", 1, 10);
    let dropped = draw.extent("dropped", 0, m * ratio - 1);
    let options = ConvOptions::square(1, kernel / 2);
    let dtype = DType::F64;
    let problem = GhostProblem {
        primary: ConvProblem {
            batch,
            input,
            kernel: [kernel; 2],
            in_channels,
            out_channels: m,
            options,
            dtype,
        },
        cheap: DepthwiseProblem {
            batch,
            input,
            kernel: [d; 2],
            channels: m,
            multiplier: ratio,
            options: DepthwiseOptions::square(1, d / 2),
            dtype,
        },
        channels: m + m * ratio - dropped,
    };
    let q = m * ratio;
    let (x, primary, cheap) = (
        problem.primary.input_shape(),
        problem.primary.weight_shape(),
        problem.cheap.weight_shape(),
    );
    let inputs = [
        (draw.exact(len(&x)), x.to_vec()),
        (draw.exact(len(&primary)), primary.to_vec()),
        (gammas(&mut draw, m), vec![m]),
        (draw.exact(m), vec![m]),
        (draw.exact(len(&cheap)), cheap.to_vec()),
        (gammas(&mut draw, q), vec![q]),
        (draw.exact(q), vec![q]),
    ];
    fn weights(v: &[Vec<f64>], clamp: Clamp) -> module::Weights<'_> {
        module::Weights {
            primary: &v[1],
            primary_norm: layer(&v[2], &v[3], clamp),
            cheap: &v[4],
            cheap_norm: layer(&v[5], &v[6], clamp),
        }
    }
    let channels = problem.channels;
    let make = move |client: &Client, dtype| {
        let [primary_norm, cheap_norm] = [
            norm(client, m, clamp, dtype)?,
            norm(client, q, clamp, dtype)?,
        ];
        Ok(ops::Ghost {
            options,
            channels,
            primary_norm,
            cheap_norm,
        })
    };
    let check = Check::with(make)
        .inputs(inputs)
        .wide(&[2, 3, 5, 6])
        .reference(move |v| module::train(&problem, &weights(v, clamp), &v[0]))
        .gradient(move |v, g| module::backward(&problem, &weights(v, clamp), &v[0], g).into())
        .factor(FACTOR)
        .floor(FLOOR)
        .terms(batch * input[0] * input[1]);
    draw.problem_in(check, &WIDE)
}

pub fn ghost_mix(mut draw: Draw) -> Problem {
    draw.finite();
    let maps = [
        draw.extent("n", 3, 5),
        draw.extent("h", 2, 5),
        draw.extent("w", 2, 5),
    ];
    let [raw, c, features] = [
        draw.extent("r", 1, 6),
        draw.extent("c", 1, 10),
        draw.extent("k", 1, 3),
    ];
    let problem = MixProblem {
        maps,
        base: raw + c,
        raw,
        features,
        dtype: DType::F64,
    };
    let [n, h, w] = maps;
    let map = |channels: usize| vec![n, h, w, channels];
    let mut inputs = vec![(draw.exact(n * h * w * (raw + c)), map(raw + c))];
    for _ in 0..features {
        inputs.push((draw.exact(n * h * w * raw), map(raw)));
    }
    for rows in [c, problem.pooled(), c] {
        inputs.push((draw.exact(rows * c), vec![rows, c]));
        inputs.push((gammas(&mut draw, c), vec![c]));
        inputs.push((draw.exact(c), vec![c]));
    }
    // Behind the maps: a weight, its gamma and beta, three times.
    let first = 1 + features;
    fn branch(v: &[Vec<f64>]) -> mixing::Branch<'_> {
        mixing::Branch {
            weight: &v[0],
            norm: layer(&v[1], &v[2], Clamp::None),
        }
    }
    fn weights(v: &[Vec<f64>]) -> mixing::Weights<'_> {
        mixing::Weights {
            cheap: branch(v),
            first: branch(&v[3..]),
            second: branch(&v[6..]),
        }
    }
    let out_shape = problem.output_shape();
    let make = move |client: &Client, dtype| {
        let of = || norm(client, c, Clamp::None, dtype);
        Ok(ops::GhostMix {
            cheap_norm: of()?,
            first_norm: of()?,
            second_norm: of()?,
            out: Tensor::zeros(client, &out_shape, dtype),
        })
    };
    let wide: Vec<usize> = (0..9).filter(|i| i % 3 > 0).map(|i| first + i).collect();
    let check = Check::with(make)
        .inputs(inputs)
        .wide(&wide)
        .reference(move |v| mixing::train(&problem, &weights(&v[first..]), &v[0], &v[1..first]))
        .gradient(move |v, g| {
            mixing::backward(&problem, &weights(&v[first..]), &v[0], &v[1..first], g)
        })
        .factor(FACTOR)
        .floor(FLOOR)
        .terms(n * h * w);
    draw.problem_in(check, &WIDE)
}
