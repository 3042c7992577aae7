//! Activations: the reference on random shapes, PyTorch's numbers, windows, hostile values, launches, determinism, gradients, refusals.

use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::{Var, ops};
use ghostlight_kernels::pointwise::activation::{
    Activation, activation, activation_into, backward, reference,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, NOT_FINITE, Windowed, assert_alike, assert_exact, assert_launches, assert_near,
    assert_refuses_dtype, assert_refuses_shape, assert_same_bits_on_one_core, client, download,
    dtypes_with_exp, has_f64_exp, poison, reals, upload,
};
use proptest::prelude::*;

/// Rounding units allowed of the terms that a value or slope is made of: an exponential, a sum, a division and a product.
const UNITS: f64 = 6.0;

fn any_activation() -> impl Strategy<Value = Activation> {
    prop::sample::select(&Activation::ALL[..])
}

/// Values on both sides of every kink, at the kinks, and far out.
fn operands(seed: u64, count: usize) -> Vec<f64> {
    let spread = |(i, v): (usize, f64)| match i % 16 {
        3 => [-3.0, 0.0, 3.0, 6.0][i / 16 % 4],
        7 => f64::from((v * 60.0) as f32),
        _ => f64::from((v * 8.0) as f32),
    };
    reals(seed, count)
        .into_iter()
        .enumerate()
        .map(spread)
        .collect()
}

fn each(x: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|&x| f(x)).collect()
}

/// The sizes of the terms of `a(x)`.
fn magnitude(x: &[f64], kind: Activation) -> Vec<f64> {
    match kind {
        // A product with a tail: relative to the tail, not to the input.
        Activation::Silu | Activation::Sigmoid => each(x, |x| {
            reference::value(x, kind).abs() * (1.0 + x.abs() / 4.0) + 1e-37
        }),
        _ => each(x, |x| reference::value(x, kind).abs() + x.abs().min(1.0)),
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(32))]

    #[test]
    fn values_and_gradients_differ_from_the_reference_by_no_more_than_rounding(
        kind in any_activation(),
        len in prop_oneof![0usize..40, 500usize..530, 0usize..5000],
        seed: u32,
    ) {
        let (x, grad) = (operands(seed.into(), len), reals(u64::from(seed) + 1, len));
        let wanted = each(&x, |x| reference::value(x, kind));
        let slopes = each(&x, |x| reference::slope(x, kind));
        let passed: Vec<f64> = slopes.iter().zip(&grad).map(|(s, g)| s * g).collect();
        let sizes: Vec<f64> = grad.iter().map(|g| 1.2 * g.abs()).collect();
        for dtype in dtypes_with_exp() {
            let [x_t, g_t] = [&x, &grad].map(|v| upload(v, &[len], dtype));
            poison(dtype, &[len]);
            assert_near(kind.name(), &activation(&x_t, kind), &wanted, &magnitude(&x, kind), UNITS);
            let back = backward(&x_t, &g_t, kind).unwrap();
            assert_near(kind.name(), &back, &passed, &sizes, UNITS);
        }
    }

    #[test]
    fn windows_hold_what_whole_tensors_hold(
        kind in any_activation(),
        (pixels, channels) in (1usize..9, prop::sample::select(&[1usize, 3, 10, 16, 36, 60, 100][..])),
        [before, after] in [0usize..9, 0usize..9],
        seed: u32,
    ) {
        let shape = [pixels, channels];
        let (x, grad) = (operands(seed.into(), pixels * channels), reals(u64::from(seed) + 1, pixels * channels));
        // Not the same bits: a narrow window goes in narrow vectors, whose exponential rounds otherwise.
        let wanted = each(&x, |x| reference::value(x, kind));
        let slopes = each(&x, |x| reference::slope(x, kind));
        let passed: Vec<f64> = slopes.iter().zip(&grad).map(|(s, g)| s * g).collect();
        let (sizes, grad_sizes) = (magnitude(&x, kind), each(&grad, |g| 1.2 * g.abs()));
        for dtype in dtypes_with_exp() {
            let x_t = upload(&x, &shape, dtype);
            let of = Windowed::of(&x, &shape, dtype, before, after);
            let from = Windowed::of(&grad, &shape, dtype, after, before);
            let room = Windowed::room(&shape, dtype, after, 3);
            activation_into(&of.window, kind, &room.window).unwrap();
            assert_near("into a window", &room.window, &wanted, &sizes, UNITS);
            room.assert_gaps_untouched("activation");
            assert_near("of a window", &activation(&of.window, kind), &wanted, &sizes, UNITS);
            for x in [&of.window, &x_t] {
                let back = backward(x, &from.window, kind).unwrap();
                assert_near("gradient", &back, &passed, &grad_sizes, UNITS);
            }
        }
    }

    #[test]
    fn gradients_are_derivatives(kind in any_activation(), shape in prop::collection::vec(1usize..5, 1..4), seed: u32) {
        let len = shape.iter().product();
        // Off the kinks at -3, 0, 3 and 6 by more than the step.
        let off = |v: f64| if (v / 3.0 - (v / 3.0).round()).abs() < 1e-3 { v + 0.01 } else { v };
        let x = each(&operands(seed.into(), len), off);
        let operation = ops::Activation { kind };
        gradcheck(&client(), &[(x, shape)], |tape, v| tape.apply(operation, &[&v[0]]), GradcheckOptions::default())?;
    }

    #[test]
    fn activations_into_the_windows_of_a_whole_have_their_gradients(
        pixels in 1usize..5,
        [first, second] in [1usize..9, 1usize..9],
    ) {
        if !has_f64_exp() {
            return Ok(());
        }
        let inputs = [first, second].map(|channels| (reals(1, pixels * channels), vec![pixels, channels]));
        gradcheck(&client(), &inputs, |tape, v| {
            let whole = Tensor::empty(&client(), &[pixels, first + second], DType::F64);
            let into = |start, x: &Var| {
                let into = whole.window(start, x.tensor().shape()[1])?;
                tape.apply(ops::ActivationInto { kind: Activation::Silu, into }, &[x])
            };
            tape.join(&whole, &[&into(0, &v[0])?, &into(first, &v[1])?])
        }, GradcheckOptions::default())?;
    }

    #[test]
    fn no_shape_panics(x in prop::collection::vec(0usize..4, 0..5), g in prop::collection::vec(0usize..4, 0..5)) {
        let of = |shape: &[usize]| Tensor::zeros(&client(), shape, DType::F32);
        let (x_t, g_t) = (of(&x), of(&g));
        let y = activation(&x_t, Activation::Relu);
        prop_assert_eq!(y.shape(), &x[..]);
        prop_assert_eq!(backward(&x_t, &g_t, Activation::Relu).is_ok(), x == g);
        prop_assert_eq!(activation_into(&x_t, Activation::Relu, &g_t).is_ok(), x == g);
    }
}

#[test]
fn values_and_slopes_are_pytorchs() {
    // torch.nn.functional in float64 at X; slopes by autograd, but for the kinks, where conventions differ.
    const X: [f64; 7] = [-5.0, -1.5, -0.25, 0.5, 2.0, 6.5, 8.0];
    let golden = [
        (
            Activation::Relu,
            [0.0, 0.0, 0.0, 0.5, 2.0, 6.5, 8.0],
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
        ),
        (
            Activation::Relu6,
            [0.0, 0.0, 0.0, 0.5, 2.0, 6.0, 6.0],
            [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
        ),
        (
            Activation::Silu,
            [
                -0.03346425462142428,
                -0.2736382857095345,
                -0.10945587477855048,
                0.3112296656009273,
                1.7615941559557646,
                6.490242315331209,
                7.997317198956269,
            ],
            [
                -0.026547432429665917,
                -0.041294154299142946,
                0.37628997842980233,
                0.7399611873026519,
                1.0907842487848955,
                1.008241854348962,
                1.0023465512355845,
            ],
        ),
        (
            Activation::HardSwish,
            [
                0.0,
                -0.375,
                -0.11458333333333333,
                0.2916666666666667,
                1.6666666666666667,
                6.5,
                8.0,
            ],
            [
                0.0,
                0.0,
                0.4166666666666667,
                0.6666666666666666,
                1.1666666666666665,
                1.0,
                1.0,
            ],
        ),
        (
            Activation::Sigmoid,
            [
                0.0066928509242848554,
                0.18242552380635635,
                0.43782349911420193,
                0.6224593312018546,
                0.8807970779778823,
                0.998498817743263,
                0.9996646498695336,
            ],
            [
                0.006648056670790155,
                0.14914645207033286,
                0.24613408273759835,
                0.2350037122015945,
                0.10499358540350662,
                0.0014989287085690683,
                0.00033523767075636815,
            ],
        ),
        (
            Activation::HardSigmoid,
            [
                0.0,
                0.25,
                0.4583333333333333,
                0.5833333333333334,
                0.8333333333333334,
                1.0,
                1.0,
            ],
            [0.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 0.0, 0.0],
        ),
    ];
    for (kind, values, slopes) in golden {
        for dtype in dtypes_with_exp() {
            let x = upload(&X, &[X.len()], dtype);
            assert_near(
                kind.name(),
                &activation(&x, kind),
                &values,
                &magnitude(&X, kind),
                UNITS,
            );
            let ones = upload(&[1.0; X.len()], &[X.len()], dtype);
            let got = backward(&x, &ones, kind).unwrap();
            assert_near(kind.name(), &got, &slopes, &[1.2; X.len()], UNITS);
        }
    }
}

#[test]
fn the_far_tails_of_the_sigmoid_keep_their_digits() {
    for dtype in dtypes_with_exp() {
        let x = upload(&[-80.0, -40.0, 40.0, 80.0], &[4], dtype);
        let ones = upload(&[1.0; 4], &[4], dtype);
        let slope = backward(&x, &ones, Activation::Sigmoid).unwrap();
        let tails = [
            (-80.0f64).exp(),
            (-40.0f64).exp(),
            (-40.0f64).exp(),
            (-80.0f64).exp(),
        ];
        assert_near("slope", &slope, &tails, &tails, UNITS);
        let value = activation(&x, Activation::Sigmoid);
        let values = [tails[0], tails[1], 1.0, 1.0];
        assert_near("value", &value, &values, &values, UNITS);
    }
}

#[test]
fn inputs_without_bound_have_their_limits() {
    use Activation::*;
    let x = [f64::NEG_INFINITY, -1e30, -1e4, 1e4, 1e30, f64::INFINITY];
    let inf = f64::INFINITY;
    let limits = |kind| match kind {
        Identity => [-inf, -1e30, -1e4, 1e4, 1e30, inf],
        Relu | Silu | HardSwish => [0.0, 0.0, 0.0, 1e4, 1e30, inf],
        Relu6 => [0.0, 0.0, 0.0, 6.0, 6.0, 6.0],
        Sigmoid | HardSigmoid => [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
    };
    let slopes = |kind| match kind {
        Identity => [1.0; 6],
        Relu | Silu | HardSwish => [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        Relu6 | Sigmoid | HardSigmoid => [0.0; 6],
    };
    for kind in Activation::ALL {
        for dtype in dtypes_with_exp() {
            let x_t = upload(&x, &[6], dtype);
            for (got, wanted) in download(&activation(&x_t, kind)).iter().zip(limits(kind)) {
                let same = *got == wanted || (got - wanted).abs() <= 1e-6 * wanted.abs();
                assert!(same, "{}: {got}, wanted {wanted}", kind.name());
            }
            // Where the function is flat nothing comes back, not even of an infinite gradient.
            for arrived in [1.0, inf] {
                let grad = upload(&[arrived; 6], &[6], dtype);
                let wanted = slopes(kind).map(|s| if s == 0.0 { 0.0 } else { arrived });
                let got = download(&backward(&x_t, &grad, kind).unwrap());
                assert_eq!(got, wanted, "{} of {arrived}", kind.name());
            }
        }
    }
}

#[test]
fn a_nan_stays_one_and_spoils_nobody_else() {
    for kind in Activation::ALL {
        for dtype in dtypes_with_exp() {
            let mut x = operands(1, 40);
            x[17] = f64::NAN;
            let got = download(&activation(&upload(&x, &[40], dtype), kind));
            for (i, value) in got.iter().enumerate() {
                assert_eq!(value.is_nan(), i == 17, "{} element {i}", kind.name());
            }
        }
    }
}

#[test]
fn at_what_is_not_finite_value_and_gradient_are_the_references() {
    for kind in Activation::ALL {
        for dtype in dtypes_with_exp() {
            let mut x = operands(2, 40);
            x[5..8].copy_from_slice(&NOT_FINITE);
            let x_t = upload(&x, &[40], dtype);
            let ones = upload(&[1.0; 40], &[40], dtype);
            let (y, back) = (activation(&x_t, kind), backward(&x_t, &ones, kind).unwrap());
            assert_alike(kind.name(), &y, &each(&x, |x| reference::value(x, kind)));
            let slopes = each(&x, |x| reference::slope(x, kind));
            assert_alike(kind.name(), &back, &slopes);
            // The gradient of a clamp passes at a NaN.
            let at_nan = download(&back)[5];
            assert!(slopes[5].is_nan() || (at_nan - slopes[5]).abs() < 1e-6);
            assert!(slopes[5] != 0.0, "{}", kind.name());
        }
    }
}

#[test]
fn a_relu_keeps_the_sign_of_a_zero() {
    for dtype in dtypes_with_exp() {
        let x = upload(&[-0.0, 0.0], &[2], dtype);
        let signs: Vec<bool> = download(&activation(&x, Activation::Relu))
            .iter()
            .map(|y| y.is_sign_negative())
            .collect();
        assert_eq!(signs, [true, false]);
    }
}

#[test]
fn each_direction_is_one_launch_and_an_empty_tensor_none() {
    let launches = |len: usize, wanted| {
        let x = upload(&vec![1.0; len], &[len], DType::F32);
        assert_launches("activation", wanted, || activation(&x, Activation::Silu));
        assert_launches("activation_into", wanted, || {
            activation_into(&x, Activation::Silu, &x.clone()).unwrap()
        });
        assert_launches("backward", wanted, || {
            backward(&x, &x, Activation::Silu).unwrap()
        });
    };
    launches(5, 1);
    launches(0, 0);
}

#[test]
fn integers_pass_a_relu_exactly() {
    let x: Vec<f64> = (0..1999).map(|i| f64::from(i % 23 - 11)).collect();
    for dtype in dtypes_with_exp() {
        let x_t = upload(&x, &[1999], dtype);
        let relu = each(&x, |x| x.max(0.0));
        assert_exact("relu", &activation(&x_t, Activation::Relu), &relu);
        // The gradient may be taken at the output as well.
        let y = activation(&x_t, Activation::Relu);
        let grads = [&x_t, &y].map(|at| backward(at, &x_t, Activation::Relu).unwrap());
        assert_exact("relu", &grads[0], &relu);
        assert_exact("relu", &grads[1], &relu);
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for len in [1, 31, 513, 100_003] {
        for kind in [Activation::Silu, Activation::HardSwish] {
            let x = upload(&operands(3, len), &[len], DType::F32);
            fingerprint.add(&activation(&x, kind));
            fingerprint.add(&backward(&x, &x, kind).unwrap());
        }
    }
    assert_same_bits_on_one_core("one_core_gives_the_same_bits_as_all", &fingerprint);
}

#[test]
fn refusals_come_in_the_documented_order() {
    let x = Tensor::zeros(&client(), &[2, 3], DType::F32);
    let refuse = |other: &Tensor| {
        [
            backward(&x, other, Activation::Relu).map(drop),
            activation_into(&x, Activation::Relu, other),
        ]
    };
    for (name, i) in [("grad", 0), ("y", 1)] {
        let [wrong, double] = [[3, 2], [2, 3]].map(|s| Tensor::zeros(&client(), &s, DType::F64));
        assert_refuses_shape(refuse(&wrong)[i].clone(), name, &[3, 2]);
        assert_refuses_dtype(refuse(&double)[i].clone(), name, DType::F64);
    }
    assert!(refuse(&x).iter().all(Result::is_ok));
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(16))]

    /// Two parts of one concatenation, one of them a copy of what the other is made of.
    #[test]
    fn a_part_of_a_concatenation_has_its_own_gradient(
        kind in any_activation(),
        (pixels, first, second) in (1usize..5, 1usize..20, 1usize..20),
    ) {
        if dtypes_with_exp().len() < 2 {
            return Ok(());
        }
        let inputs = [first, second].map(|c| (reals(c as u64, pixels * c), vec![pixels, c]));
        let apply = |tape: &ghostlight_autodiff::Tape, v: &[ghostlight_autodiff::Var]| {
            let whole = Tensor::empty(&client(), &[pixels, first + second], DType::F64);
            let place = |kind, start, count| {
                let into = whole.window(start, count).expect("it lies within");
                ops::ActivationInto { kind, into }
            };
            let a = tape.apply(place(Activation::Identity, 0, first), &[&v[0]])?;
            let b = tape.apply(place(kind, first, second), &[&v[1]])?;
            tape.join(&whole, &[&a, &b])
        };
        gradcheck(&client(), &inputs, apply, GradcheckOptions::default())?;
    }
}

#[test]
fn a_part_of_a_concatenation_may_not_lie_over_what_it_is_made_of() {
    let whole = Tensor::zeros(&client(), &[2, 6], DType::F32);
    let x = ghostlight_autodiff::Var::constant(whole.window(0, 3).unwrap());
    let op = ops::ActivationInto {
        kind: Activation::Relu,
        into: whole.window(2, 3).unwrap(),
    };
    let refused = ghostlight_autodiff::Tape::new().apply(op, &[&x]);
    let said = refused.map(drop).unwrap_err().to_string();
    assert!(
        said.starts_with("activation_into: into shares memory with x"),
        "{said}"
    );
}
