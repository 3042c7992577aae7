use super::{Draw, Problem, len};
use crate::abs;
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops::{self, AnyConv, Statistics};
use ghostlight_kernels::conv::dense::{self, ConvOptions, ConvProblem};
use ghostlight_kernels::conv::depthwise::{self as deep, DepthwiseOptions, DepthwiseProblem};
use ghostlight_kernels::conv::grouped::{self, GroupedProblem};
use ghostlight_kernels::matmul::gemm::{self, GemmProblem};
use ghostlight_kernels::norm::batch_norm::reference::Layer;
use ghostlight_kernels::{Clamp, DType, Tensor};

/// Three roundings of a gradient, and in a Winograd convolution those of its transforms, whose terms are larger than the products.
pub(super) fn factor(kernel: [usize; 2], stride: [usize; 2]) -> f64 {
    if kernel == [3, 3] && stride == [1, 1] {
        24.0
    } else {
        3.0
    }
}

/// Kernel, options, and a map that they fit into.
pub(super) fn dense_problem(draw: &mut Draw) -> ConvProblem {
    // Padding is written out as zeros and multiplied: its note says what is not finite then spoils.
    draw.finite();
    let kernel = draw.pick("kernel", &[[1, 1], [3, 3], [2, 3], [5, 5], [4, 1]]);
    let stride = draw.pick("stride", &[[1, 1], [2, 2], [1, 2]]);
    let padding = kernel.map(|side| draw.extent("padding", 0, side - 1));
    let n = draw.extent("n", 1, 3);
    let [h, w] = [0, 1].map(|axis| {
        let least = kernel[axis].saturating_sub(2 * padding[axis]).max(1);
        draw.extent(["h", "w"][axis], least, least + 8)
    });
    let [in_channels, out_channels] = [draw.channels("ci"), draw.channels("co")];
    ConvProblem {
        batch: n,
        input: [h, w],
        kernel,
        in_channels,
        out_channels,
        options: ConvOptions { stride, padding },
        dtype: DType::F64,
    }
}

pub fn conv(mut draw: Draw) -> Problem {
    let problem = dense_problem(&mut draw);
    let shapes = [problem.input_shape(), problem.weight_shape()];
    let inputs = shapes.map(|shape| (draw.values(len(&shape)), shape.to_vec()));
    let options = problem.options;
    let (value, by_x, by_w) = (
        move |x: &[f64], w: &[f64]| dense::reference::forward(&problem, x, w),
        move |w: &[f64], g: &[f64]| dense::reference::grad_input(&problem, w, g),
        move |x: &[f64], g: &[f64]| dense::reference::grad_weight(&problem, x, g),
    );
    let check = Check::of(ops::Conv { options })
        .inputs(inputs)
        .reference(move |v| value(&v[0], &v[1]))
        .gradient(move |v, g| vec![by_x(&v[1], g), by_w(&v[0], g)])
        .magnitude(move |v, g| {
            let [x, w, g] = [&v[0][..], &v[1], g].map(abs);
            vec![value(&x, &w), by_x(&w, &g), by_w(&x, &g)]
        })
        .linear_in(&[0, 1])
        .factor(factor(problem.kernel, options.stride))
        .terms(len(&problem.weight_shape()).max(len(&problem.output_shape())));
    draw.problem(check, false)
}

pub fn conv_bias(mut draw: Draw) -> Problem {
    let problem = dense_problem(&mut draw);
    let clamp = draw.pick("clamp", &[Clamp::None, Clamp::Relu]);
    let (options, co) = (problem.options, problem.out_channels);
    let shapes = [problem.input_shape(), problem.weight_shape()];
    let mut inputs = shapes
        .map(|shape| (draw.values(len(&shape)), shape.to_vec()))
        .to_vec();
    inputs.push((draw.values(co), vec![co]));
    let row = move |value: f64| {
        move |client: &_, dtype: DType| {
            Tensor::from_f64(client, &vec![value; co], &[co], dtype.accumulator())
        }
    };
    let make = move |client: &_, dtype: DType| {
        let (zeros, ones) = (row(0.0)(client, dtype)?, row(1.0)(client, dtype)?);
        Ok(ops::ConvBias {
            options,
            clamp,
            zeros,
            ones,
        })
    };
    let value = move |v: &[Vec<f64>]| -> Vec<f64> {
        let products = dense::reference::forward(&problem, &v[0], &v[1]);
        let each = products.iter().enumerate().map(|(i, y)| y + v[2][i % co]);
        each.collect()
    };
    let bounded = move |y: f64| {
        if clamp == Clamp::Relu && y < 0.0 {
            0.0
        } else {
            y
        }
    };
    let backward = move |v: &[Vec<f64>], through: &[f64]| {
        let mut by_bias = vec![0.0; co];
        through
            .iter()
            .enumerate()
            .for_each(|(i, g)| by_bias[i % co] += g);
        vec![
            dense::reference::grad_input(&problem, &v[1], through),
            dense::reference::grad_weight(&problem, &v[0], through),
            by_bias,
        ]
    };
    let check = Check::with(make)
        .inputs(inputs)
        .wide(&[2])
        .reference(move |v| value(v).into_iter().map(bounded).collect())
        .gradient(move |v, g| {
            let open = |y: f64| clamp == Clamp::None || y.is_nan() || y > 0.0;
            let pairs = value(v).into_iter().zip(g);
            let through: Vec<f64> = pairs.map(|(y, &g)| if open(y) { g } else { 0.0 }).collect();
            backward(v, &through)
        })
        .magnitude(move |v, g| {
            let v: Vec<Vec<f64>> = v.iter().map(|v| abs(v)).collect();
            let mut all = vec![value(&v)];
            all.extend(backward(&v, &abs(g)));
            all
        })
        .factor(factor(problem.kernel, options.stride))
        .terms(len(&problem.weight_shape()).max(len(&problem.output_shape())));
    draw.problem(check, false)
}

pub fn conv_norm(mut draw: Draw) -> Problem {
    let problem = dense_problem(&mut draw);
    let clamp = draw.pick("clamp", &Clamp::ALL);
    let residual = draw.any("residual", &[false, true]);
    let (options, co) = (problem.options, problem.out_channels);
    let shapes = [problem.input_shape(), problem.weight_shape()];
    let mut inputs = shapes
        .map(|shape| (draw.values(len(&shape)), shape.to_vec()))
        .to_vec();
    inputs.extend([(draw.exact(co), vec![co]), (draw.exact(co), vec![co])]);
    if residual {
        let shape = problem.output_shape();
        inputs.push((draw.values(len(&shape)), shape.to_vec()));
    }
    let mean = draw.exact(co);
    let variance: Vec<f64> = draw.exact(co).iter().map(|v| v.abs() + 0.5).collect();
    let epsilon = 0.0078125;
    let statistics = [mean.clone(), variance.clone()];
    let make = move |client: &_, dtype: DType| {
        let row = |values: &[f64]| Tensor::from_f64(client, values, &[co], dtype.accumulator());
        let norm = ops::BatchNorm {
            running_mean: row(&statistics[0])?,
            running_var: row(&statistics[1])?,
            epsilon,
            momentum: 0.125,
            clamp,
            statistics: Statistics::Running,
            scale: None,
            into: None,
        };
        let conv = AnyConv::Dense(ops::Conv { options });
        Ok(ops::ConvNorm { conv, norm })
    };
    let (bare_mean, bare_variance) = (mean.clone(), variance.clone());
    let check = Check::with(make)
        .inputs(inputs)
        .wide(&[2, 3])
        .inference()
        .reference(move |v| {
            let residual = v.get(4).map(Vec::as_slice);
            let layer = Layer {
                gamma: &v[2],
                beta: &v[3],
                epsilon,
                residual,
                clamp,
            };
            layer.apply(
                &dense::reference::forward(&problem, &v[0], &v[1]),
                &mean,
                &variance,
            )
        })
        .magnitude(move |v, _| {
            let products = dense::reference::forward(&problem, &abs(&v[0]), &abs(&v[1]));
            let each = products.iter().enumerate().map(|(i, y)| {
                let c = i % co;
                let scale = v[2][c].abs() / (bare_variance[c] + epsilon).sqrt();
                scale * (y + 2.0 * bare_mean[c].abs())
                    + v[3][c].abs()
                    + v.get(4).map_or(0.0, |r| r[i].abs())
            });
            vec![each.collect()]
        })
        .factor(factor(problem.kernel, options.stride))
        .terms(len(&problem.weight_shape()));
    draw.problem(check, false)
}

pub fn depthwise(mut draw: Draw) -> Problem {
    let kernel = draw.pick("kernel", &[[1, 1], [3, 3], [2, 3], [5, 5], [4, 7]]);
    let [stride, dilation] = draw.pick("stride and dilation", &[[1, 1], [2, 1], [1, 2], [3, 2]]);
    let multiplier = draw.pick("multiplier", &[1, 1, 2, 3]);
    let bias = draw.any("bias", &[false, true]);
    let span = kernel.map(|side| dilation * (side - 1));
    let padding = [0, 0, 1, 1].map(|axis| draw.extent("padding", 0, span[axis]));
    let batch = draw.extent("n", 1, 3);
    let input = [0, 1].map(|axis| {
        let least = (span[axis] + 1)
            .saturating_sub(padding[2 * axis] + padding[2 * axis + 1])
            .max(1);
        draw.extent(["h", "w"][axis], least, least + 9)
    });
    let channels = draw.channels("c");
    let options = DepthwiseOptions {
        stride: [stride; 2],
        dilation: [dilation; 2],
        padding,
    };
    let problem = DepthwiseProblem {
        batch,
        input,
        kernel,
        channels,
        multiplier,
        options,
        dtype: DType::F64,
    };
    let out = problem.out_channels();
    let mut inputs = vec![
        (
            draw.values(len(&problem.input_shape())),
            problem.input_shape().to_vec(),
        ),
        (
            draw.values(len(&problem.weight_shape())),
            problem.weight_shape().to_vec(),
        ),
    ];
    if bias {
        inputs.push((draw.values(out), vec![out]));
    }
    let value = move |v: &[Vec<f64>]| {
        deep::reference::forward(&problem, &v[0], &v[1], v.get(2).map(Vec::as_slice))
    };
    let backward = move |v: &[Vec<f64>], g: &[f64]| {
        let mut all = vec![
            deep::reference::grad_input(&problem, &v[1], g),
            deep::reference::grad_weight(&problem, &v[0], g),
        ];
        all.extend(v.get(2).map(|_| deep::reference::grad_bias(&problem, g)));
        all
    };
    let check = Check::of(ops::Depthwise { options })
        .inputs(inputs)
        .reference(value)
        .gradient(backward)
        .magnitude(move |v, g| {
            let v: Vec<Vec<f64>> = v.iter().map(|v| abs(v)).collect();
            let mut all = vec![value(&v)];
            all.extend(backward(&v, &abs(g)));
            all
        })
        .linear_in(if bias { &[] } else { &[0, 1] })
        .factor(3.0)
        .terms((kernel[0] * kernel[1] * multiplier).max(len(&problem.output_shape()) / out));
    draw.problem(check, false)
}

pub fn grouped_conv(mut draw: Draw) -> Problem {
    // As in a dense one.
    draw.finite();
    let kernel = draw.pick("kernel", &[[1, 1], [3, 3], [2, 3]]);
    let stride = draw.pick("stride", &[[1, 1], [2, 2]]);
    let groups = draw.extent("groups", 1, 5);
    let [ci, co] = draw.pick(
        "channels of a group",
        &[[1, 1], [2, 3], [4, 4], [8, 8], [16, 4], [3, 20]],
    );
    let padding = kernel.map(|side| draw.extent("padding", 0, side - 1));
    let batch = draw.extent("n", 1, 3);
    let input = [0, 1].map(|axis| {
        let least = kernel[axis].saturating_sub(2 * padding[axis]).max(1);
        draw.extent(["h", "w"][axis], least, least + 8)
    });
    let options = ConvOptions { stride, padding };
    let problem = GroupedProblem {
        batch,
        input,
        kernel,
        in_channels: groups * ci,
        out_channels: groups * co,
        groups,
        options,
        dtype: DType::F64,
    };
    let shapes = [problem.input_shape(), problem.weight_shape()];
    let inputs = shapes.map(|shape| (draw.values(len(&shape)), shape.to_vec()));
    let (value, by_x, by_w) = (
        move |x: &[f64], w: &[f64]| grouped::reference::forward(&problem, x, w),
        move |w: &[f64], g: &[f64]| grouped::reference::grad_input(&problem, w, g),
        move |x: &[f64], g: &[f64]| grouped::reference::grad_weight(&problem, x, g),
    );
    let check = Check::of(ops::GroupedConv { groups, options })
        .inputs(inputs)
        .reference(move |v| value(&v[0], &v[1]))
        .gradient(move |v, g| vec![by_x(&v[1], g), by_w(&v[0], g)])
        .magnitude(move |v, g| {
            let [x, w, g] = [&v[0][..], &v[1], g].map(abs);
            vec![value(&x, &w), by_x(&w, &g), by_w(&x, &g)]
        })
        .linear_in(&[0, 1])
        .factor(3.0)
        .terms(len(&problem.weight_shape()).max(len(&problem.output_shape())));
    draw.problem(check, false)
}

pub fn linear(mut draw: Draw) -> Problem {
    let [m, k, n] = [
        draw.extent("m", 1, 20),
        draw.extent("k", 1, 60),
        draw.channels("n"),
    ];
    let bias = draw.any("bias", &[false, true]);
    let problem = GemmProblem {
        m,
        k,
        n,
        bias,
        dtype: DType::F64,
    };
    let mut inputs = vec![
        (draw.values(m * k), vec![m, k]),
        (draw.values(k * n), vec![k, n]),
    ];
    if bias {
        inputs.push((draw.values(n), vec![n]));
    }
    let value = move |v: &[Vec<f64>]| {
        gemm::reference::forward(&problem, &v[0], &v[1], v.get(2).map_or(&[], Vec::as_slice))
    };
    let backward = move |v: &[Vec<f64>], g: &[f64]| {
        let mut all = vec![
            gemm::reference::grad_a(&problem, &v[1], g),
            gemm::reference::grad_b(&problem, &v[0], g),
        ];
        all.extend(v.get(2).map(|_| gemm::reference::grad_bias(&problem, g)));
        all
    };
    let check = Check::of(ops::Linear)
        .inputs(inputs)
        .reference(value)
        .gradient(backward)
        .magnitude(move |v, g| {
            let v: Vec<Vec<f64>> = v.iter().map(|v| abs(v)).collect();
            let mut all = vec![value(&v)];
            all.extend(backward(&v, &abs(g)));
            all
        })
        .linear_in(if bias { &[] } else { &[0, 1] })
        .factor(3.0)
        .terms(m.max(k).max(n));
    draw.problem(check, false)
}
