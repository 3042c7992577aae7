use super::conv::{dense_problem, factor};
use super::{Draw, Problem, len};
use crate::abs;
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops::{self, AnyConv, Statistics};
use ghostlight_kernels::conv::dense;
use ghostlight_kernels::norm::batch_norm::reference::Layer;
use ghostlight_kernels::norm::layer_norm::{self, Sample};
use ghostlight_kernels::norm::softmax as rows;
use ghostlight_kernels::{Clamp, Tensor};

const EPSILON: f64 = 0.0078125;

/// The sizes of the terms of a norm's value and of its gradients by input, gamma and beta: `group` says with which elements an element shares
/// its mean.
fn sizes(v: &[Vec<f64>], grad: &[f64], group: impl Fn(usize) -> usize) -> [Vec<f64>; 4] {
    let (x, gamma, beta) = (&v[0], &v[1], &v[2]);
    let c = gamma.len();
    let groups = (0..x.len()).map(&group).max().map_or(0, |last| last + 1);
    let mean = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let (mut sums, mut counts) = (vec![0.0; groups], vec![0.0; groups]);
        for i in 0..x.len() {
            sums[group(i)] += of(i);
            counts[group(i)] += 1.0;
        }
        sums.iter()
            .zip(counts)
            .map(|(sum, count)| sum / count)
            .collect()
    };
    let (means, offsets) = (mean(&|i| x[i]), mean(&|i| x[i].abs()));
    let variances = mean(&|i| (x[i] - means[group(i)]).powi(2));
    let inverse = |i: usize| 1.0 / (variances[group(i)] + EPSILON).sqrt();
    // The mean is off by units of what it is the mean of, and the deviation of any value by as much.
    let normal =
        |i: usize| ((x[i] - means[group(i)]).abs() + x[i].abs() + offsets[group(i)]) * inverse(i);
    let pull = |i: usize| (grad[i] * gamma[i % c]).abs();
    let (pulls, tilts) = (mean(&pull), mean(&|i| pull(i) * normal(i)));
    let mut sizes = [vec![], vec![], vec![0.0; c], vec![0.0; c]];
    for i in 0..x.len() {
        sizes[0].push(normal(i) * gamma[i % c].abs() + beta[i % c].abs());
        sizes[1].push(inverse(i) * (pull(i) + pulls[group(i)] + 2.0 * normal(i) * tilts[group(i)]));
        sizes[2][i % c] += grad[i].abs() * normal(i);
        sizes[3][i % c] += grad[i].abs();
    }
    sizes
}

pub fn batch_norm(mut draw: Draw) -> Problem {
    let clamp = draw.pick("clamp", &Clamp::ALL);
    let residual = draw.any("residual", &[false, true]);
    let shape @ [n, h, w, c] = draw.map();
    let mut inputs = vec![
        (draw.values(len(&shape)), shape.to_vec()),
        (draw.exact(c), vec![c]),
        (draw.exact(c), vec![c]),
    ];
    if residual {
        inputs.push((draw.values(len(&shape)), shape.to_vec()));
    }
    let make = move |client: &_, dtype: ghostlight_kernels::DType| {
        let row = || Tensor::zeros(client, &[c], dtype.accumulator());
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
    };
    fn layer(v: &[Vec<f64>], clamp: Clamp) -> Layer<'_> {
        Layer {
            gamma: &v[1],
            beta: &v[2],
            epsilon: EPSILON,
            residual: v.get(3).map(Vec::as_slice),
            clamp,
        }
    }
    let check = Check::with(make)
        .inputs(inputs)
        .wide(&[1, 2])
        .reference(move |v| layer(v, clamp).forward(&v[0]).output)
        .gradient(move |v, g| {
            let [x, residual, gamma, beta] = layer(v, clamp).backward(&v[0], g);
            let all = [x, gamma, beta].into_iter();
            all.chain(v.get(3).map(|_| residual)).collect()
        })
        .magnitude(move |v, g| {
            let mut all = Vec::from(sizes(v, g, |i| i % c));
            if let Some(residual) = v.get(3) {
                all[0]
                    .iter_mut()
                    .zip(residual)
                    .for_each(|(size, r)| *size += r.abs());
                all.push(g.iter().map(|g| g.abs()).collect());
            }
            all
        })
        .factor(3.0)
        .terms(n * h * w);
    draw.problem(check, false)
}

pub fn norm_conv(mut draw: Draw) -> Problem {
    let problem = dense_problem(&mut draw);
    let clamp = draw.pick("clamp", &Clamp::ALL);
    let (options, c) = (problem.options, problem.in_channels);
    let (map, weight) = (problem.input_shape(), problem.weight_shape());
    let inputs = [
        (draw.values(len(&map)), map.to_vec()),
        (draw.exact(c), vec![c]),
        (draw.exact(c), vec![c]),
        (draw.values(len(&weight)), weight.to_vec()),
    ];
    let make = move |client: &_, dtype: ghostlight_kernels::DType| {
        let row = || Tensor::zeros(client, &[c], dtype.accumulator());
        let norm = ops::BatchNorm {
            running_mean: row(),
            running_var: row(),
            epsilon: EPSILON,
            momentum: 0.125,
            clamp,
            statistics: Statistics::Batch,
            scale: None,
            into: None,
        };
        let conv = AnyConv::Dense(ops::Conv { options });
        Ok(ops::NormConv { norm, conv })
    };
    fn layer(v: &[Vec<f64>], clamp: Clamp) -> Layer<'_> {
        Layer {
            gamma: &v[1],
            beta: &v[2],
            epsilon: EPSILON,
            residual: None,
            clamp,
        }
    }
    let check = Check::with(make)
        .inputs(inputs)
        .wide(&[1, 2])
        .reference(move |v| {
            dense::reference::forward(&problem, &layer(v, clamp).forward(&v[0]).output, &v[3])
        })
        .gradient(move |v, g| {
            let layer = layer(v, clamp);
            let normal = layer.forward(&v[0]).output;
            let through = dense::reference::grad_input(&problem, &v[3], g);
            let [x, _, gamma, beta] = layer.backward(&v[0], &through);
            let by_weight = dense::reference::grad_weight(&problem, &normal, g);
            vec![x, gamma, beta, by_weight]
        })
        .magnitude(move |v, g| {
            let (weight, g) = (abs(&v[3]), abs(g));
            let through = dense::reference::grad_input(&problem, &weight, &g);
            let [normal, x, gamma, beta] = sizes(v, &through, |i| i % c);
            let value = dense::reference::forward(&problem, &normal, &weight);
            let by_weight = dense::reference::grad_weight(&problem, &normal, &g);
            vec![value, x, gamma, beta, by_weight]
        })
        .factor(3.0 * factor(problem.kernel, options.stride))
        .terms(
            len(&weight)
                .max(len(&map))
                .max(len(&problem.output_shape())),
        );
    draw.problem(check, false)
}

pub fn layer_norm(mut draw: Draw) -> Problem {
    let sample = draw.pick("sample", &[Sample::Pixel, Sample::Image]);
    let shape @ [n, h, w, c] = draw.map();
    let inputs = [
        (draw.values(len(&shape)), shape.to_vec()),
        (draw.exact(c), vec![c]),
        (draw.exact(c), vec![c]),
    ];
    let pixels = if sample == Sample::Pixel { 1 } else { h * w };
    let check = Check::of(ops::LayerNorm {
        sample,
        epsilon: EPSILON,
    })
    .inputs(inputs)
    .wide(&[1, 2])
    .reference(move |v| layer_norm::reference::forward(&v[0], &v[1], &v[2], pixels, EPSILON))
    .gradient(move |v, g| layer_norm::reference::backward(&v[0], &v[1], g, pixels, EPSILON).into())
    .magnitude(move |v, g| sizes(v, g, |i| i / (pixels * c)).into())
    .factor(3.0)
    .terms((pixels * c).max(n * h * w));
    draw.problem(check, false)
}

pub fn softmax(mut draw: Draw) -> Problem {
    let shape = [draw.extent("rows", 1, 9), draw.extent("length", 1, 70)];
    let length = shape[1];
    let x = draw.values(len(&shape));
    let forward = move |x: &[f64]| rows::reference::forward(x, length);
    let check = Check::of(ops::Softmax)
        .inputs([(x, shape.to_vec())])
        .reference(move |x| forward(&x[0]))
        .gradient(move |x, g| vec![rows::reference::backward(&forward(&x[0]), g, length)])
        .magnitude(move |x, _| {
            let y = forward(&x[0]);
            let (mut value, mut gradient) = (Vec::new(), Vec::new());
            for (x, y) in x[0].chunks(length).zip(y.chunks(length)) {
                // An exponent's own rounding is as large as the exponent, and the gradient is taken at what is off by so much.
                let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let off: Vec<f64> = x
                    .iter()
                    .zip(y)
                    .map(|(x, y)| match *y {
                        0.0 => 1e-37,
                        y => y * (1.0 + (max - x)) + 1e-37,
                    })
                    .collect();
                let mean: f64 = off.iter().sum();
                gradient.extend(off.iter().zip(y).map(|(off, y)| 2.0 * (off + y * mean)));
                value.extend(off);
            }
            vec![value, gradient]
        })
        .factor(2.0)
        .terms(length);
    draw.problem(check, true)
}
