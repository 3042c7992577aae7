//! The ghost half of a G-Ghost stage.

use super::case::{rows, shapes};
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops;
use ghostlight_kernels::DType;
use ghostlight_kernels::pointwise::add_relu::{add_relu, add_relu_into, backward, reference};
use ghostlight_tests::{
    Fingerprint, Windowed, assert_checks, assert_exact, assert_launches, assert_same_bits,
    assert_same_bits_on_one_core, download, dtypes, integers, reals, upload, with_halves,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(32))]

    #[test]
    fn values_and_gradients_are_the_references_to_within_rounding(shape in shapes(), seed: u32) {
        let [n, h, w, c] = shape;
        let (pixels, len, seed) = (h * w, n * h * w * c, u64::from(seed));
        let check = Check::of(ops::AddRelu)
            .inputs([(reals(seed, len), shape.to_vec()), (reals(seed + 1, n * c), rows(shape).to_vec())])
            .reference(|v| reference::forward(&v[0], &v[1], pixels, c))
            .gradient(|v, grad| {
                let y = reference::forward(&v[0], &v[1], pixels, c);
                reference::backward(&y, grad, n, pixels, c).into()
            })
            .terms(pixels)
            .seed(seed)
            .dtypes(&with_halves(dtypes()));
        if let Some(checked) = assert_checks(check) {
            prop_assert_eq!(checked.windows, [0]);
        }
    }

    #[test]
    fn integers_are_exact(shape in shapes(), seed: u32) {
        let [n, h, w, c] = shape;
        let (pixels, len, seed) = (h * w, n * h * w * c, u64::from(seed));
        let (x, m, grad) = (integers(seed, len), integers(seed + 1, n * c), integers(seed + 2, len));
        let wanted = reference::forward(&x, &m, pixels, c);
        let [by_x, by_m] = reference::backward(&wanted, &grad, n, pixels, c);
        for dtype in dtypes() {
            let y = add_relu(&upload(&x, &shape, dtype), &upload(&m, &rows(shape), dtype)).unwrap();
            assert_exact("y", &y, &wanted);
            let got = backward(&y, &upload(&grad, &shape, dtype)).unwrap();
            assert_exact("x", &got.x, &by_x);
            assert_exact("m", &got.m, &by_m);
        }
    }

    #[test]
    fn windows_hold_what_whole_tensors_hold(shape in shapes(), [before, after] in [0usize..9, 0usize..9], seed: u32) {
        let [n, h, w, c] = shape;
        let len = n * h * w * c;
        let (x, grad, m) = (reals(seed.into(), len), reals(1, len), reals(2, n * c));
        for dtype in dtypes() {
            let m_t = upload(&m, &rows(shape), dtype);
            let y = add_relu(&upload(&x, &shape, dtype), &m_t).unwrap();
            let of = Windowed::of(&x, &shape, dtype, before, after);
            let room = Windowed::room(&shape, dtype, after, 1);
            add_relu_into(&of.window, &m_t, &room.window).unwrap();
            assert_same_bits("y", &room.window, &y);
            room.assert_gaps_untouched("add_relu");
            let from = Windowed::of(&grad, &shape, dtype, 2, before);
            let got = backward(&room.window, &from.window).unwrap();
            let wanted = backward(&y, &upload(&grad, &shape, dtype)).unwrap();
            assert_same_bits("x", &got.x, &wanted.x);
            assert_same_bits("m", &got.m, &wanted.m);
        }
    }
}

#[test]
fn a_nan_stays_one_and_spoils_nobody_else() {
    let shape = [2, 3, 3, 20];
    let mut m = reals(1, 40);
    m[25] = f64::NAN;
    for dtype in dtypes() {
        let x = upload(&reals(2, 360), &shape, dtype);
        let y = add_relu(&x, &upload(&m, &[2, 20], dtype)).unwrap();
        for (i, y) in download(&y).iter().enumerate() {
            assert_eq!(y.is_nan(), i >= 180 && i % 20 == 5, "element {i}: {y}");
        }
        // The gradient passes where the result is a NaN.
        let grad = integers(3, 360);
        let [by_x, by_m] = reference::backward(&download(&y), &grad, 2, 9, 20);
        let got = backward(&y, &upload(&grad, &shape, dtype)).unwrap();
        assert_exact("x", &got.x, &by_x);
        assert_exact("m", &got.m, &by_m);
        assert_eq!(by_m[25], (9..18).map(|p| grad[p * 20 + 5]).sum::<f64>());
    }
}

#[test]
fn forward_is_one_launch_and_backward_two() {
    for (shape, forward, back) in [
        ([2, 3, 3, 5], 1, 2),
        ([0, 3, 3, 5], 0, 0),
        ([2, 0, 3, 5], 0, 0),
    ] {
        let x = upload(&vec![1.0; shape.iter().product()], &shape, DType::F32);
        let m = upload(&vec![1.0; shape[0] * 5], &rows(shape), DType::F32);
        let y = assert_launches("add_relu", forward, || add_relu(&x, &m).unwrap());
        let got = assert_launches("backward", back, || backward(&y, &x).unwrap());
        if shape[1] == 0 {
            assert_exact("m", &got.m, &vec![0.0; shape[0] * 5]);
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for shape in [[1, 1, 1, 1], [3, 9, 11, 36], [2, 30, 31, 100]] {
        let x = upload(&reals(1, shape.iter().product()), &shape, DType::F32);
        let m = upload(&reals(2, shape[0] * shape[3]), &rows(shape), DType::F32);
        let y = add_relu(&x, &m).unwrap();
        let got = backward(&y, &x).unwrap();
        [&y, &got.x, &got.m]
            .iter()
            .for_each(|tensor| fingerprint.add(tensor));
    }
    assert_same_bits_on_one_core(
        "add_relu::one_core_gives_the_same_bits_as_all",
        &fingerprint,
    );
}
