//! Results that lie where an operand does: right where an element is made of the element under it, refused by name everywhere else.

use ghostlight_kernels::conv::dense::{self, Affine, ConvOptions};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions};
use ghostlight_kernels::ghost::mix;
use ghostlight_kernels::matmul::gemm::{gemm_into, grad_a_plus_into};
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm};
use ghostlight_kernels::optim::{adamw, sgd};
use ghostlight_kernels::pointwise::activation::{Activation, activation, activation_into};
use ghostlight_kernels::pointwise::{add_into, add_relu, gate};
use ghostlight_kernels::pool::global_average;
use ghostlight_kernels::{Clamp, DType, KernelError, Tensor};
use ghostlight_tests::{
    Windowed, abs, assert_exact, assert_near, assert_same_bits, client, download, dtypes,
    dtypes_with_exp, reals, upload,
};
use proptest::prelude::*;

#[test]
fn seventeen_ones_in_place_are_activated_once() {
    let x = upload(&[1.0; 17], &[17], DType::F32);
    activation_into(&x, Activation::Silu, &x).unwrap();
    let wanted = 1.0 / (1.0 + (-1.0f64).exp());
    assert_near("silu", &x, &[wanted; 17], &[wanted; 17], 4.0);
}

fn any_activation() -> impl Strategy<Value = Activation> {
    prop::sample::select(Activation::ALL.to_vec())
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn an_activation_in_place_gives_what_it_gives_elsewhere(
        kind in any_activation(),
        (pixels, channels, before, after) in (0usize..7, 1usize..70, 0usize..20, 0usize..20),
        long in 1usize..3000,
        seed: u32,
    ) {
        for dtype in dtypes_with_exp() {
            let values = reals(seed.into(), pixels * channels);
            let windowed = Windowed::of(&values, &[pixels, channels], dtype, before, after);
            let elsewhere = download(&activation(&windowed.window, kind));
            activation_into(&windowed.window, kind, &windowed.window).unwrap();
            assert_near(kind.name(), &windowed.window, &elsewhere, &abs(&elsewhere), 2.0);
            windowed.assert_gaps_untouched("activation in place");

            let whole = upload(&reals(seed.into(), long), &[long], dtype);
            let elsewhere = download(&activation(&whole, kind));
            activation_into(&whole, kind, &whole.clone()).unwrap();
            assert_near(kind.name(), &whole, &elsewhere, &abs(&elsewhere), 2.0);
        }
    }

    #[test]
    fn gates_and_sums_in_place_give_what_they_give_elsewhere(
        ([n, h, w], channels) in ([1usize..3, 1usize..9, 1usize..9], 1usize..40),
        (before, after) in (0usize..20, 0usize..20),
        seed: u32,
    ) {
        let shape = [n, h, w, channels];
        let values = reals(seed.into(), n * h * w * channels);
        let row = reals(u64::from(seed) + 1, n * channels);
        for dtype in dtypes() {
            let row = upload(&row, &[n, channels], dtype);
            let windowed = || Windowed::of(&values, &shape, dtype, before, after);

            let kind = Activation::HardSigmoid;
            let x = windowed();
            let elsewhere = download(&gate::gate(&x.window, &row, kind).unwrap());
            gate::gate_into(&x.window, &row, kind, &x.window).unwrap();
            assert_near("gate", &x.window, &elsewhere, &abs(&elsewhere), 2.0);
            x.assert_gaps_untouched("gate in place");

            let x = windowed();
            let elsewhere = download(&add_relu::add_relu(&x.window, &row).unwrap());
            add_relu::add_relu_into(&x.window, &row, &x.window).unwrap();
            assert_exact("add_relu", &x.window, &elsewhere);
            x.assert_gaps_untouched("add_relu in place");

            let x = upload(&values, &shape, dtype);
            let doubled: Vec<f64> = download(&x).iter().map(|v| 2.0 * v).collect();
            add_into(&x, &x).unwrap();
            assert_exact("add_into", &x, &doubled);
        }
    }

    /// Elements that hold their own place in the buffer say which are shared.
    #[test]
    fn tensors_of_one_buffer_are_apart_where_no_element_is_shared(
        (pixels, pitch) in (1usize..5, 1usize..9),
        starts in [0usize..40, 0usize..40],
        channels in [(0usize..9, 1usize..9), (0usize..9, 1usize..9)],
        sliced: bool,
    ) {
        let places: Vec<f64> = (0..80).map(f64::from).collect();
        let buffer = upload(&places, &[80], DType::F32);
        let part = |i: usize| {
            let start = if sliced { starts[i] } else { 0 };
            let all = buffer.slice(start, &[pixels, pitch]).ok()?;
            let (first, count) = channels[i];
            let first = first % pitch;
            Some(all.window(first, count.min(pitch - first)).expect("it lies within"))
        };
        // Where slices start at multiples of some bytes, few of these do.
        if let (Some(a), Some(b)) = (part(0), part(1)) {
            let (ours, theirs) = (download(&a), download(&b));
            let apart = !ours.iter().any(|place| theirs.contains(place));
            prop_assert_eq!(a.check_apart("op", "a", &[("b", &b)]).is_ok(), apart, "{:?} {:?}", ours, theirs);
            let fits = a.check_in_place("op", "a", ("b", &b)).is_ok();
            prop_assert_eq!(fits, apart || ours == theirs, "{:?} {:?}", ours, theirs);
        }
    }

    /// The engine's own use: the last holder of a gradient, or of an input that was saved, has the result written over it.
    #[test]
    fn gradients_in_the_place_of_what_nobody_holds_have_the_same_bits(
        ([n, h, w], ci, co) in ([1usize..3, 1usize..8, 1usize..20], 1usize..40, 1usize..20),
        (stride, residual) in (1usize..3, any::<bool>()),
        seed: u32,
    ) {
        let seed = u64::from(seed);
        for dtype in dtypes() {
            let random = |seed, shape: &[usize]| upload(&reals(seed, shape.iter().product()), shape, dtype);
            let options = ConvOptions::square(stride, 1);
            let (x, weight) = (random(seed, &[n, h, w, ci]), random(seed + 1, &[3, 3, ci, co]));
            let output = dense::ConvProblem::new(&x, &weight, options).unwrap().output_shape();
            let grad = random(seed + 2, &output);
            let plus = || random(seed + 3, x.shape());
            let held = plus();
            let elsewhere = dense::grad_input_plus(&x, &weight, &grad, options, held.clone()).unwrap();
            let in_place = dense::grad_input_plus(&x, &weight, &grad, options, plus()).unwrap();
            assert_same_bits("dense gradient", &in_place, &elsewhere);

            let norm = layer(ci, dtype.accumulator());
            let grad = random(seed + 4, x.shape());
            let gradient = |held: Option<&Tensor>| {
                let own = random(seed, x.shape());
                let kept = held.map(|_| own.clone());
                let (_, saved) = batch_norm::train(&own, &norm, residual.then_some(&x), Clamp::Relu).unwrap();
                drop(own);
                let input = batch_norm::backward(&norm, saved, &grad).unwrap().input;
                drop(kept);
                input
            };
            assert_same_bits("batch norm's gradient", &gradient(None), &gradient(Some(&x)));
        }
    }
}

fn layer(channels: usize, dtype: DType) -> BatchNorm {
    let of = |value| upload(&vec![value; channels], &[channels], dtype);
    BatchNorm {
        gamma: of(1.5),
        beta: of(-0.25),
        running_mean: of(0.0),
        running_var: of(1.0),
        epsilon: 1e-5,
        momentum: 0.1,
    }
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

/// Asserts that `result` refuses to write `tensor` over `other`.
fn assert_refuses_overlap<T: std::fmt::Debug>(
    result: Result<T, KernelError>,
    tensor: &str,
    other: &str,
) {
    let error = result.expect_err("a result over an operand is refused");
    let said = format!("{tensor} shares memory with {other}, wanted memory of its own");
    assert!(error.to_string().contains(&said), "{error}, wanted {said}");
}

#[test]
fn maps_refuse_a_result_over_a_part_of_an_operand() {
    let whole = zeros(&[2, 3, 4, 9]);
    let (x, shifted) = (whole.window(0, 5).unwrap(), whole.window(1, 5).unwrap());
    let row = zeros(&[2, 5]);
    let kind = Activation::Relu;
    assert_refuses_overlap(activation_into(&x, kind, &shifted), "y", "x");
    assert_refuses_overlap(gate::gate_into(&x, &row, kind, &shifted), "y", "x");
    assert_refuses_overlap(add_relu::add_relu_into(&x, &row, &shifted), "y", "x");
    let behind = whole.window(5, 4).unwrap();
    let ahead = whole.window(1, 4).unwrap();
    activation_into(&ahead, kind, &behind).expect("no channel is shared");
    let image = zeros(&[1, 1, 1, 5]);
    let row = image.reshape(&[1, 5]).unwrap();
    let x = zeros(&[1, 1, 1, 5]);
    assert_refuses_overlap(gate::gate_into(&x, &row, kind, &image), "y", "s");
    assert_refuses_overlap(add_relu::add_relu_into(&x, &row, &image), "y", "m");
    let flat = zeros(&[40]);
    if let Ok(part) = flat.slice(8, &[32]) {
        let first = flat.slice(0, &[32]).unwrap();
        assert_refuses_overlap(add_into(&first, &part), "into", "add");
    }
}

#[test]
fn everything_else_refuses_a_result_over_an_operand() {
    let x = zeros(&[1, 1, 1, 4]);
    let row = x.reshape(&[1, 4]).unwrap();
    let vector = || zeros(&[4]);
    let over = |name: &str| -> Tensor {
        assert!(["centre", "scale", "shift"].contains(&name));
        x.reshape(&[4]).unwrap()
    };
    let other = zeros(&[1, 1, 1, 4]);
    let (pointwise, filter) = (zeros(&[1, 1, 4, 4]), zeros(&[1, 1, 4]));
    let matrix = zeros(&[4, 4]);
    let options = ConvOptions::square(1, 0);
    let each = DepthwiseOptions::square(1, 0);
    for name in ["centre", "scale", "shift", "residual"] {
        let maps = ["centre", "scale", "shift"].map(|map| match map == name {
            true => over(map),
            false => vector(),
        });
        let residual = (name == "residual").then_some(&x);
        let affine = |residual| Affine {
            centre: &maps[0],
            scale: &maps[1],
            shift: &maps[2],
            residual,
            clamp: Clamp::Relu,
        };
        let refused = dense::conv_affine_into(&other, &pointwise, options, &affine(residual), &x);
        assert_refuses_overlap(refused, "out", name);
        let refused =
            depthwise::depthwise_affine_into(&other, &filter, each, &affine(residual), &x);
        assert_refuses_overlap(refused, "out", name);
        let residual = residual.map(|_| &row);
        let a = other.reshape(&[1, 4]).unwrap();
        assert_refuses_overlap(gemm_into(&a, &matrix, &affine(residual), &row), "out", name);
    }
    let [centre, scale, shift] = [(); 3].map(|()| vector());
    let affine = Affine {
        centre: &centre,
        scale: &scale,
        shift: &shift,
        residual: None,
        clamp: Clamp::Relu,
    };
    let refused = dense::conv_affine_into(&x, &pointwise, options, &affine, &x);
    assert_refuses_overlap(refused, "out", "input");
    let refused = depthwise::depthwise_affine_into(&x, &filter, each, &affine, &x);
    assert_refuses_overlap(refused, "out", "x");
    let refused = depthwise::depthwise_into(&x, &filter, None, each, &x);
    assert_refuses_overlap(refused, "out", "x");
    let bias = x.reshape(&[4]).unwrap();
    let refused = depthwise::depthwise_into(&other, &filter, Some(&bias), each, &x);
    assert_refuses_overlap(refused, "out", "bias");
    assert_refuses_overlap(gemm_into(&row, &matrix, &affine, &row), "out", "a");
    let top = matrix.slice(0, &[1, 4]).unwrap();
    assert_refuses_overlap(gemm_into(&row, &matrix, &affine, &top), "out", "b");

    let free = zeros(&[1, 4]);
    let refused = grad_a_plus_into(&matrix, &row, &free, &row);
    assert_refuses_overlap(refused, "out", "grad");
    let refused = grad_a_plus_into(&matrix, &free, &row, &row);
    assert_refuses_overlap(refused, "out", "plus");
    let refused = global_average::global_average_into(&x, &row);
    assert_refuses_overlap(refused, "y", "x");
    let refused = global_average::backward_into(&row, &x);
    assert_refuses_overlap(refused, "out", "grad");
}

#[test]
fn a_batch_norm_refuses_to_write_over_what_it_reads() {
    let (x, norm) = (zeros(&[2, 3, 3, 4]), layer(4, DType::F32));
    let y = zeros(&[2, 3, 3, 4]);
    let refused = batch_norm::train_into(&x, &norm, None, Clamp::None, &x);
    assert_refuses_overlap(refused, "y", "x");
    let refused = batch_norm::train_into(&x, &norm, Some(&y), Clamp::Relu, &y);
    assert_refuses_overlap(refused, "y", "residual");
    let shared = |running_mean: &Tensor, running_var: &Tensor| BatchNorm {
        running_mean: running_mean.clone(),
        running_var: running_var.clone(),
        ..norm.clone()
    };
    let both = shared(&norm.running_mean, &norm.running_mean);
    let refused = batch_norm::train(&x, &both, None, Clamp::None).map(|(y, _)| y);
    assert_refuses_overlap(refused, "running_var", "running_mean");
    let gamma = shared(&norm.gamma, &norm.running_var);
    let refused = batch_norm::train(&x, &gamma, None, Clamp::None).map(|(y, _)| y);
    assert_refuses_overlap(refused, "running_mean", "gamma");
    // Inference moves nothing.
    assert!(batch_norm::infer(&x, &gamma, None, Clamp::None).is_ok());
}

#[test]
fn the_ghost_half_of_a_stage_is_written_beside_its_operands_not_over_them() {
    let stage = zeros(&[2, 3, 3, 6]);
    let (x0, feature) = (stage.clone(), zeros(&[2, 3, 3, 2]));
    let norms = [(); 3].map(|()| layer(4, DType::F32));
    let (square, first) = (zeros(&[4, 4]), zeros(&[8, 4]));
    let half = mix::Mix {
        cheap: &square,
        cheap_norm: &norms[0],
        first: &first,
        first_norm: &norms[1],
        second: &square,
        second_norm: &norms[2],
    };
    let out = stage.window(2, 4).unwrap();
    let refused = mix::train(&x0, &[&feature], &half, &out).map(|_| ());
    assert_refuses_overlap(refused, "out", "x0");
    let scales = mix::Scales::of(&half).unwrap();
    let refused = mix::infer(&x0, &[&feature], &half, &scales, &out);
    assert_refuses_overlap(refused, "out", "x0");
    let apart = zeros(&[2, 3, 3, 6]);
    let over = stage.window(1, 2).unwrap();
    let refused = mix::infer(&apart, &[&over], &half, &scales, &out);
    assert_refuses_overlap(refused, "out", "feature");
    let beside = stage.window(0, 2).unwrap();
    mix::infer(&apart, &[&beside], &half, &scales, &out).expect("no channel is shared");
}

#[test]
fn an_optimiser_refuses_parameters_and_moments_in_one_place() {
    let [params, grads, decayed] = [(); 3].map(|()| zeros(&[19]));
    let options = sgd::SgdOptions {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay: 0.0,
        nesterov: false,
    };
    let refused = sgd::step(&params, &grads, &params, &decayed, &options);
    assert_refuses_overlap(refused, "params", "velocity");
    let refused = sgd::step(&params, &grads, &grads, &decayed, &options);
    assert_refuses_overlap(refused, "velocity", "grads");
    let step = |params, first, second, grads: &Tensor| {
        let state = adamw::AdamWState {
            params,
            first,
            second,
        };
        adamw::step(state, grads, &decayed, &Default::default(), 1)
    };
    let (first, second) = (zeros(&[19]), zeros(&[19]));
    let refused = step(&params, &first, &first, &grads);
    assert_refuses_overlap(refused, "first", "second");
    let refused = step(&params, &first, &second, &second);
    assert_refuses_overlap(refused, "second", "grads");
    let refused = step(&params, &params, &second, &grads);
    assert_refuses_overlap(refused, "params", "first");
    assert!(step(&params, &first, &second, &grads).is_ok());
}
