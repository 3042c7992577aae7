//! Global average pooling: the reference on random shapes and at the corners, adjointness, hostile values, determinism and refusals.

use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops;
use ghostlight_kernels::pool::global_average::{backward, global_average, reference};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, assert_checks, assert_exact, assert_near, assert_refuses_dtype,
    assert_refuses_shape, assert_same_bits_on_one_core, client, download, dtypes, finishes_loops,
    integers, naive, poison, reals, upload, with_halves,
};
use proptest::prelude::*;

/// `[n, h, w, c]`.
type Shape = [usize; 4];

fn shapes() -> impl Strategy<Value = Shape> {
    let channels = prop::sample::select(&[1usize, 3, 10, 16, 24, 32, 48, 64][..]);
    let side = || prop_oneof![1 => Just(1usize), 4 => 2usize..30, 2 => 30usize..70];
    (0usize..5, side(), side(), channels).prop_map(|(n, h, w, c)| [n, h, w, c])
}

/// The averages of `x` and the gradient from `g`, on memory full of NaN.
fn run([n, h, w, c]: Shape, x: &[f64], g: &[f64], dtype: DType) -> [Tensor; 2] {
    let x = upload(x, &[n, h, w, c], dtype);
    let g = upload(g, &[n, c], dtype);
    poison(dtype, &[x.len(), g.len()]);
    let results = [global_average(&x).unwrap(), backward(&x, &g).unwrap()];
    assert_eq!(
        (results[0].shape(), results[1].shape()),
        (g.shape(), x.shape())
    );
    results
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn integers_over_a_power_of_two_of_pixels_average_exactly(
        (n, h, w, c) in (0usize..5, 0u32..5, 0u32..5, 1usize..50),
        seed: u32,
    ) {
        let shape @ [_, h, w, _] = [n, 1 << h, 1 << w, c];
        let (x, g) = (integers(seed.into(), n * h * w * c), integers(1, n * c));
        for dtype in dtypes() {
            let [y, grad] = run(shape, &x, &g, dtype);
            assert_exact("average", &y, &reference::forward(&x, h * w, c));
            assert_exact("gradient", &grad, &reference::backward(&g, h * w, c));
        }
    }

    #[test]
    fn values_and_gradients_are_the_references_to_within_rounding(shape in shapes(), seed: u32) {
        let [n, h, w, c] = shape;
        let check = Check::of(ops::GlobalAverage)
            .inputs([(reals(seed.into(), n * h * w * c), shape.to_vec())])
            .reference(|x| reference::forward(&x[0], h * w, c))
            .gradient(|_, grad| vec![reference::backward(grad, h * w, c)])
            .linear_in(&[0])
            .terms(h * w)
            .seed(seed.into())
            .dtypes(&with_halves(dtypes()));
        if let Some(checked) = assert_checks(check) {
            prop_assert!(checked.windows.is_empty());
        }
    }
}

#[test]
fn one_pixel_is_its_own_average() {
    for c in [1, 10, 16, 48] {
        let (x, g) = (reals(1, 3 * c), reals(2, 3 * c));
        for dtype in dtypes() {
            let [y, grad] = run([3, 1, 1, c], &x, &g, dtype);
            assert_exact("average", &y, &x);
            assert_exact("gradient", &grad, &g);
        }
    }
}

#[test]
fn a_million_equal_pixels_average_to_their_value() {
    if !finishes_loops("a million equal pixels", 1_000_000) {
        return;
    }
    // Summed one by one in f32 they come to 0.10096: equal additions round the same way, thousands of times in a row.
    let value = f64::from(0.1f32);
    let y = global_average(&upload(
        &vec![value; 1_000_000],
        &[1, 1000, 1000, 1],
        DType::F32,
    ))
    .unwrap();
    assert_near("average", &y, &[value], &[value], naive(1_000_000));
}

#[test]
fn a_pixel_that_is_not_a_number_spoils_its_own_channel_of_its_own_image() {
    let (shape @ [_, h, w, c], n) = ([3, 4, 5, 10], 3);
    let (clean, g) = (reals(3, n * h * w * c), reals(4, n * c));
    let mut spoiled = clean.clone();
    spoiled[h * w * c + 7] = f64::NAN;
    for dtype in dtypes() {
        let [y, _] = run(shape, &spoiled, &g, dtype);
        let [before, _] = run(shape, &clean, &g, dtype);
        for (i, (got, before)) in download(&y).iter().zip(download(&before)).enumerate() {
            assert_eq!(got.is_nan(), i == c + 7, "element {i}: {got}");
            assert!(
                got.is_nan() || *got == before,
                "element {i}: {got}, wanted {before}"
            );
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for shape in [[5, 17, 9, 24], [1, 40, 40, 3], [7, 2, 2, 16]] {
        let [n, _, _, c] = shape;
        let (x, g) = (reals(7, shape.iter().product()), reals(8, n * c));
        for dtype in dtypes() {
            run(shape, &x, &g, dtype)
                .iter()
                .for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core("one_core_gives_the_same_bits_as_all", &fingerprint);
}

fn of(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::empty(&client(), shape, dtype)
}

#[test]
fn refusals_come_in_the_documented_order() {
    let bad_grad = of(&[3, 3], DType::F64);
    for shape in [&[4, 4, 3][..], &[2, 0, 4, 3], &[2, 4, 0, 3], &[2, 4, 4, 0]] {
        let x = of(shape, DType::F32);
        assert_refuses_shape(global_average(&x), "x", shape);
        assert_refuses_shape(backward(&x, &bad_grad), "x", shape);
    }
    let x = of(&[2, 4, 4, 3], DType::F32);
    assert_refuses_shape(backward(&x, &bad_grad), "grad", &[3, 3]);
    assert_refuses_dtype(backward(&x, &of(&[2, 3], DType::F64)), "grad", DType::F64);
    assert!(backward(&x, &of(&[2, 3], DType::F32)).is_ok());
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(128))]

    #[test]
    fn no_shape_panics(
        x in prop::collection::vec(0usize..4, 0..6),
        g in prop::collection::vec(0usize..4, 0..4),
    ) {
        let (x, g) = (of(&x, DType::F32), of(&g, DType::F32));
        let fits = x.shape().len() == 4 && x.shape()[1..].iter().all(|&extent| extent > 0);
        prop_assert_eq!(global_average(&x).is_ok(), fits);
        prop_assert!(backward(&x, &g).is_err() || fits);
    }
}
