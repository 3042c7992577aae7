//! The gate of squeeze-and-excitation.

use super::case::{GATES, rows, shapes};
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops;
use ghostlight_kernels::DType;
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::pointwise::gate::{backward, gate, gate_into, reference};
use ghostlight_tests::{
    Fingerprint, GRADIENT, Windowed, assert_checks, assert_exact, assert_launches, assert_near,
    assert_same_bits, assert_same_bits_on_one_core, download, dtypes_with_exp, finishes_loops,
    integers, naive, reals, upload, with_halves,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(32))]

    #[test]
    fn values_and_gradients_are_the_references_to_within_rounding(
        shape in shapes(),
        kind in prop::sample::select(&GATES[..]),
        seed: u32,
    ) {
        let [n, h, w, c] = shape;
        let (pixels, len, seed) = (h * w, n * h * w * c, u64::from(seed));
        // Past both ends of the hard-sigmoid, and off its kinks.
        let s = reals(seed + 1, n * c).iter().map(|v| v * 4.0).collect();
        let check = Check::of(ops::Gate { activation: kind })
            .inputs([(reals(seed, len), shape.to_vec()), (s, rows(shape).to_vec())])
            .reference(|v| reference::forward(&v[0], &v[1], pixels, c, kind))
            .gradient(|v, grad| reference::backward(&v[0], &v[1], grad, pixels, c, kind).into())
            .linear_in(if kind == Activation::Identity { &[0, 1] } else { &[0] })
            .terms(pixels)
            .seed(seed)
            .dtypes(&with_halves(dtypes_with_exp()));
        if let Some(checked) = assert_checks(check) {
            prop_assert_eq!(checked.windows, [0]);
        }
    }

    #[test]
    fn integers_pass_an_open_gate_exactly(shape in shapes(), seed: u32) {
        let [n, h, w, c] = shape;
        let (pixels, len, seed) = (h * w, n * h * w * c, u64::from(seed));
        let (x, s, grad) = (integers(seed, len), integers(seed + 1, n * c), integers(seed + 2, len));
        let kind = Activation::Identity;
        let [by_x, by_s] = reference::backward(&x, &s, &grad, pixels, c, kind);
        for dtype in dtypes_with_exp() {
            let [x_t, g_t] = [&x, &grad].map(|v| upload(v, &shape, dtype));
            let s_t = upload(&s, &rows(shape), dtype);
            assert_exact("y", &gate(&x_t, &s_t, kind).unwrap(), &reference::forward(&x, &s, pixels, c, kind));
            let got = backward(&x_t, &s_t, kind, &g_t).unwrap();
            assert_exact("x", &got.x, &by_x);
            assert_exact("s", &got.s, &by_s);
        }
    }

    #[test]
    fn windows_hold_what_whole_tensors_hold(shape in shapes(), [before, after] in [0usize..9, 0usize..9], seed: u32) {
        let [n, h, w, c] = shape;
        let (len, kind) = (n * h * w * c, Activation::HardSigmoid);
        let (x, grad, s) = (reals(seed.into(), len), reals(1, len), reals(2, n * c));
        for dtype in dtypes_with_exp() {
            let [x_t, g_t] = [&x, &grad].map(|v| upload(v, &shape, dtype));
            let s_t = upload(&s, &rows(shape), dtype);
            let of = Windowed::of(&x, &shape, dtype, before, after);
            let from = Windowed::of(&grad, &shape, dtype, after, 2);
            let room = Windowed::room(&shape, dtype, 1, before);
            gate_into(&of.window, &s_t, kind, &room.window).unwrap();
            assert_same_bits("y", &room.window, &gate(&x_t, &s_t, kind).unwrap());
            room.assert_gaps_untouched("gate");
            let (got, wanted) = (backward(&of.window, &s_t, kind, &from.window).unwrap(), backward(&x_t, &s_t, kind, &g_t).unwrap());
            assert_same_bits("x", &got.x, &wanted.x);
            assert_same_bits("s", &got.s, &wanted.s);
        }
    }
}

#[test]
fn a_million_pixels_of_one_image_add_up_to_the_gradient_of_its_gate() {
    if !finishes_loops("a million pixels of one image", 1_000_000) {
        return;
    }
    let (shape, tenth) = ([1, 1000, 1000, 1], f64::from(0.1f32));
    let x = upload(&vec![1.0; 1_000_000], &shape, DType::F32);
    let s = upload(&[0.5], &[1, 1], DType::F32);
    let grad = upload(&vec![tenth; 1_000_000], &shape, DType::F32);
    let got = backward(&x, &s, Activation::Identity, &grad).unwrap();
    let wanted = [tenth * 1e6];
    assert_near("s", &got.s, &wanted, &wanted, 16.0);
}

#[test]
fn gates_far_open_and_far_shut_are_one_and_zero() {
    let shape = [1, 5, 7, 3];
    let x = reals(1, 105);
    for kind in [Activation::Sigmoid, Activation::HardSigmoid] {
        for dtype in dtypes_with_exp() {
            let x_t = upload(&x, &shape, dtype);
            let s = upload(&[1e4, -1e4, 1e30], &[1, 3], dtype);
            let wanted: Vec<f64> = x
                .iter()
                .enumerate()
                .map(|(i, x)| if i % 3 == 1 { 0.0 } else { *x })
                .collect();
            assert_exact("y", &gate(&x_t, &s, kind).unwrap(), &wanted);
            let got = backward(&x_t, &s, kind, &x_t).unwrap();
            assert_exact("x", &got.x, &wanted);
            assert_exact("s", &got.s, &[0.0; 3]);
        }
    }
}

#[test]
fn a_nan_spoils_its_own_pixel_and_the_gate_of_its_own_channel() {
    let (shape, kind) = ([2, 6, 7, 20], Activation::Sigmoid);
    let mut x = reals(1, 2 * 42 * 20);
    let at = (42 + 40) * 20 + 3;
    x[at] = f64::NAN;
    for dtype in dtypes_with_exp() {
        let (x_t, s) = (
            upload(&x, &shape, dtype),
            upload(&reals(2, 40), &[2, 20], dtype),
        );
        let nans = |values: Vec<f64>| {
            (0..values.len())
                .filter(|&i| values[i].is_nan())
                .collect::<Vec<_>>()
        };
        assert_eq!(nans(download(&gate(&x_t, &s, kind).unwrap())), [at]);
        let ones = upload(&vec![1.0; x.len()], &shape, dtype);
        let got = backward(&x_t, &s, kind, &ones).unwrap();
        assert_eq!(nans(download(&got.x)), [0usize; 0]);
        assert_eq!(nans(download(&got.s)), [23]);
    }
}

#[test]
fn a_long_image_sums_without_losing_digits() {
    let (pixels, c) = (200 * 200, 3);
    let x = vec![f64::from(0.1f32); pixels * c];
    for dtype in dtypes_with_exp() {
        let x_t = upload(&x, &[1, 200, 200, c], dtype);
        let s = upload(&[1.0, 2.0, 3.0], &[1, c], dtype);
        let ones = upload(&vec![1.0; pixels * c], &[1, 200, 200, c], dtype);
        let wanted = [x[0] * pixels as f64; 3];
        let got = backward(&x_t, &s, Activation::Identity, &ones).unwrap();
        assert_near("s", &got.s, &wanted, &wanted, GRADIENT * naive(pixels));
    }
}

#[test]
fn forward_is_one_launch_and_backward_two() {
    let kind = Activation::Sigmoid;
    for (shape, forward, back) in [
        ([2, 3, 3, 5], 1, 2),
        ([0, 3, 3, 5], 0, 0),
        ([2, 0, 3, 5], 0, 0),
    ] {
        let x = upload(&vec![1.0; shape.iter().product()], &shape, DType::F32);
        let s = upload(&vec![1.0; shape[0] * 5], &rows(shape), DType::F32);
        assert_launches("gate", forward, || gate(&x, &s, kind).unwrap());
        let got = assert_launches("backward", back, || backward(&x, &s, kind, &x).unwrap());
        if shape[1] == 0 {
            assert_exact("s", &got.s, &vec![0.0; shape[0] * 5]);
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for shape in [[1, 1, 1, 1], [3, 9, 11, 36], [2, 30, 31, 100]] {
        let len = shape.iter().product();
        let x = upload(&reals(1, len), &shape, DType::F32);
        let s = upload(&reals(2, shape[0] * shape[3]), &rows(shape), DType::F32);
        fingerprint.add(&gate(&x, &s, Activation::Sigmoid).unwrap());
        let got = backward(&x, &s, Activation::Sigmoid, &x).unwrap();
        fingerprint.add(&got.x);
        fingerprint.add(&got.s);
    }
    assert_same_bits_on_one_core("gating::one_core_gives_the_same_bits_as_all", &fingerprint);
}
