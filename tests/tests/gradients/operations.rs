//! Every differentiable operation, in f64.

use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck, values};
use ghostlight_autodiff::ops::{
    AnyConv, BatchNorm, Conv, CrossEntropy, Depthwise, Dkd, GlobalAverage, GroupedConv, Linear,
    NormConv, Statistics,
};
use ghostlight_autodiff::{DType, Labels, Tape, Tensor, Var};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::conv::depthwise::DepthwiseOptions;
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_tests::{cases, client, has_f64, has_f64_exp};
use proptest::prelude::*;

/// Random values with their shape.
pub(crate) fn input(seed: u64, shape: &[usize]) -> (Vec<f64>, Vec<usize>) {
    (values(seed, shape.iter().product()), shape.to_vec())
}

fn constant(seed: u64, shape: &[usize]) -> Var {
    let (values, shape) = input(seed, shape);
    Var::constant(Tensor::from_f64(&client(), &values, &shape, DType::F64).unwrap())
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn the_gradient_of_a_convolution_is_its_derivative_and_its_adjoint(
        [n, ci, co] in [1usize..3, 1usize..5, 1usize..5],
        [h, w] in [3usize..7, 3usize..7],
        [kh, kw] in [1usize..4, 1usize..4],
        stride in [1usize..3, 1usize..3],
        same in any::<bool>(),
    ) {
        if !has_f64() {
            return Ok(());
        }
        let client = client();
        let padding = if same { [kh / 2, kw / 2] } else { [0, 0] };
        let conv = Conv { options: ConvOptions { stride, padding } };
        let (x, weight) = ([n, h, w, ci], [kh, kw, ci, co]);
        let inputs = [input(1, &x), input(2, &weight)];
        gradcheck(&client, &inputs, |tape, v| tape.apply(conv, &[&v[0], &v[1]]), GradcheckOptions::default())?;
        let (fixed_x, fixed_weight) = (constant(3, &x), constant(4, &weight));
        adjointness(&client, &x, 5, |tape, x| tape.apply(conv, &[x, &fixed_weight]))?;
        adjointness(&client, &weight, 6, |tape, w| tape.apply(conv, &[&fixed_x, w]))?;
    }

    #[test]
    fn the_gradient_of_a_linear_layer_is_its_derivative_and_its_adjoint(
        [m, k, n] in [1usize..20, 1usize..20, 1usize..20],
    ) {
        if !has_f64() {
            return Ok(());
        }
        let client = client();
        let inputs = [input(1, &[m, k]), input(2, &[k, n]), input(3, &[n])];
        let apply = |tape: &Tape, v: &[Var]| tape.apply(Linear, &[&v[0], &v[1], &v[2]]);
        gradcheck(&client, &inputs, apply, GradcheckOptions::default())?;
        let unbiased = |tape: &Tape, v: &[Var]| tape.apply(Linear, &[&v[0], &v[1]]);
        gradcheck(&client, &inputs[..2], unbiased, GradcheckOptions::default())?;
        let zero = Var::constant(Tensor::zeros(&client, &[n], DType::F64));
        let (x, weight) = (constant(4, &[m, k]), constant(5, &[k, n]));
        adjointness(&client, &[m, k], 6, |tape, x| tape.apply(Linear, &[x, &weight, &zero]))?;
        adjointness(&client, &[k, n], 7, |tape, w| tape.apply(Linear, &[&x, w, &zero]))?;
    }

    #[test]
    fn the_gradient_of_a_global_average_is_its_derivative_and_its_adjoint(
        shape in [1usize..4, 1usize..6, 1usize..6, 1usize..20],
    ) {
        if !has_f64() {
            return Ok(());
        }
        let client = client();
        let apply = |tape: &Tape, v: &[Var]| tape.apply(GlobalAverage, &[&v[0]]);
        gradcheck(&client, &[input(1, &shape)], apply, GradcheckOptions::default())?;
        adjointness(&client, &shape, 2, |tape, x| tape.apply(GlobalAverage, &[x]))?;
    }

    #[test]
    fn the_gradient_of_a_batch_norm_is_its_derivative(
        [n, h, w] in [1usize..4, 1usize..4, 2usize..4],
        c in prop_oneof![Just(1usize), Just(3), Just(8), Just(20)],
        clamp in prop::sample::select(&Clamp::ALL[..]),
        with_residual in any::<bool>(),
    ) {
        if !has_f64() {
            return Ok(());
        }
        let client = client();
        let shape = [n, h, w, c];
        let norm = BatchNorm {
            running_mean: Tensor::zeros(&client, &[c], DType::F64),
            running_var: Tensor::zeros(&client, &[c], DType::F64),
            epsilon: 1e-2,
            momentum: 0.1,
            clamp,
            statistics: Statistics::Batch,
            scale: None,
            into: None,
        };
        let mut inputs = vec![input(1, &shape), input(2, &[c]), input(3, &[c])];
        if with_residual {
            inputs.push(input(4, &shape));
        }
        let apply = |tape: &Tape, v: &[Var]| tape.apply(norm.clone(), &v.iter().collect::<Vec<_>>());
        // A small step: the statistics are rational functions of every input, and ReLUs have kinks nearby.
        let options = GradcheckOptions { step: 1e-6, tolerance: 1e-5, ..GradcheckOptions::default() };
        gradcheck(&client, &inputs, apply, options)?;
    }

    #[test]
    fn the_gradient_of_a_norm_and_the_convolution_that_reads_it_is_their_derivative(
        [n, h, w] in [1usize..3, 2usize..5, 3usize..5],
        kind in 0usize..3,
        stride in 1usize..3,
        clamp in prop::sample::select(&Clamp::ALL[..]),
    ) {
        if !has_f64() {
            return Ok(());
        }
        let client = client();
        let (c, shape) = (4, [n, h, w, 4]);
        let options = ConvOptions::square(stride, 1);
        let (conv, weight) = match kind {
            0 => (AnyConv::Dense(Conv { options }), vec![3, 3, c, 5]),
            1 => (AnyConv::Grouped(GroupedConv { groups: 2, options }), vec![3, 3, 2, 6]),
            _ => {
                let options = DepthwiseOptions::square(stride, 1);
                (AnyConv::Depthwise(Depthwise { options }), vec![3, 3, c])
            }
        };
        let norm = BatchNorm {
            running_mean: Tensor::zeros(&client, &[c], DType::F64),
            running_var: Tensor::zeros(&client, &[c], DType::F64),
            epsilon: 1e-2,
            momentum: 0.1,
            clamp,
            statistics: Statistics::Batch,
            scale: None,
            into: None,
        };
        let inputs = [input(1, &shape), input(2, &[c]), input(3, &[c]), input(4, &weight)];
        let chain = NormConv { norm, conv };
        let apply = |tape: &Tape, v: &[Var]| tape.apply(chain.clone(), &v.iter().collect::<Vec<_>>());
        let options = GradcheckOptions { step: 1e-6, tolerance: 1e-5, ..GradcheckOptions::default() };
        gradcheck(&client, &inputs, apply, options)?;
        let [y, gamma, beta] = [constant(1, &shape), constant(2, &[c]), constant(3, &[c])];
        adjointness(&client, &weight, 6, |tape, w| tape.apply(chain.clone(), &[&y, &gamma, &beta, w]))?;
    }

    #[test]
    fn the_gradients_of_both_losses_are_their_derivatives(
        n in 1usize..5,
        c in 2usize..12,
        smoothing in prop_oneof![Just(0.0), 0.0..0.5],
        temperature in 0.5f64..5.0,
        [alpha, beta] in [0.0f64..2.0, 0.0f64..9.0],
    ) {
        if !has_f64_exp() {
            return Ok(());
        }
        let client = client();
        let classes: Vec<u32> = (0..n as u32).map(|i| i % c as u32).collect();
        let labels = Labels::new(&client, &classes, c).unwrap();
        let logits = [input(1, &[n, c])];
        let entropy = CrossEntropy { labels: labels.clone(), smoothing };
        gradcheck(&client, &logits, |t, v| t.apply(entropy.clone(), &[&v[0]]), GradcheckOptions::default())?;
        let options = DkdOptions { alpha, beta, temperature, weight: 0.5 };
        let dkd = Dkd { teacher: constant(2, &[n, c]).tensor().clone(), labels, options };
        gradcheck(&client, &logits, |t, v| t.apply(dkd.clone(), &[&v[0]]), GradcheckOptions::default())?;
    }
}

#[test]
fn inputs_too_large_for_every_element_are_checked_along_random_directions() {
    if !has_f64() {
        return;
    }
    let conv = Conv {
        options: ConvOptions::square(1, 1),
    };
    let inputs = [input(1, &[2, 16, 16, 16]), input(2, &[3, 3, 16, 32])];
    let apply = |tape: &Tape, v: &[Var]| tape.apply(conv, &[&v[0], &v[1]]);
    let options = GradcheckOptions {
        directions: 3,
        ..GradcheckOptions::default()
    };
    gradcheck(&client(), &inputs, apply, options).unwrap();
}

#[test]
fn a_batch_norm_with_running_statistics_refuses_a_backward_pass() {
    if !has_f64() {
        return;
    }
    let client = client();
    let norm = BatchNorm {
        running_mean: Tensor::zeros(&client, &[2], DType::F64),
        running_var: Tensor::zeros(&client, &[2], DType::F64),
        epsilon: 1e-5,
        momentum: 0.1,
        clamp: Clamp::Relu,
        statistics: Statistics::Running,
        scale: None,
        into: None,
    };
    let tape = Tape::new();
    let x = constant(1, &[2, 2, 2, 2]);
    let grad = Tensor::zeros(&client, x.tensor().shape(), DType::F64);
    let leaf = tape.leaf(x.tensor(), &grad).unwrap();
    let (gamma, beta) = (constant(2, &[2]), constant(3, &[2]));
    let y = tape.apply(norm, &[&leaf, &gamma, &beta]).unwrap();
    let refused = tape.backward(&[(&y, 1.0)]).unwrap_err().to_string();
    assert!(refused.contains("batch's statistics"), "{refused}");
}
