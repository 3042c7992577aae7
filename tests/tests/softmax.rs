//! Softmax: the reference on random rows, PyTorch's numbers, hostile values, launches, determinism, gradients and refusals.

use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops;
use ghostlight_kernels::norm::softmax::{backward, reference, softmax};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{
    Fingerprint, GRADIENT, VALUE, assert_checks, assert_launches, assert_near,
    assert_refuses_dtype, assert_refuses_shape, assert_same_bits, assert_same_bits_on_one_core,
    client, download, dtypes_with_exp, finishes_loops, naive, reals, upload, with_halves,
};
use proptest::prelude::*;

/// Rows and their length: below a vector, whole vectors, and with a tail.
fn shapes() -> impl Strategy<Value = [usize; 2]> {
    let length = prop_oneof![1usize..40, 60usize..70, Just(100), Just(1000), Just(1001)];
    (0usize..9, length).prop_map(|(rows, length)| [rows, length])
}

/// How far a probability of `y` may be off, in units of rounding: an exponent's own rounding is as large as the exponent.
fn sizes(x: &[f64], y: &[f64], length: usize) -> Vec<f64> {
    let rows = x.chunks(length).zip(y.chunks(length));
    rows.flat_map(|(x, y)| {
        let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        x.iter()
            .zip(y)
            .map(move |(x, y)| y * (1.0 + (max - x)) + 1e-37)
    })
    .collect()
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn values_and_gradients_are_the_references_to_within_rounding(
        shape in shapes(),
        before in 1usize..3,
        scale in prop_oneof![Just(1.0), Just(20.0), Just(1e4)],
        seed: u32,
    ) {
        let [rows, length] = shape;
        let x: Vec<f64> = reals(seed.into(), before * rows * length).iter().map(|v| v * scale).collect();
        let check = Check::of(ops::Softmax)
            .inputs([(x, vec![before, rows, length])])
            .reference(|x| reference::forward(&x[0], length))
            .gradient(|x, grad| vec![reference::backward(&reference::forward(&x[0], length), grad, length)])
            .magnitude(|x, _| {
                let y = reference::forward(&x[0], length);
                let off = sizes(&x[0], &y, length);
                // The gradient is taken at a result that is off by so much already.
                let rows = off.chunks(length).zip(y.chunks(length));
                let gradient = rows.flat_map(|(off, y)| {
                    let mean: f64 = off.iter().sum();
                    off.iter().zip(y).map(move |(off, y)| 2.0 * (off + y * mean))
                });
                vec![off.clone(), gradient.collect()]
            })
            .terms(length)
            .factor(2.0)
            .seed(seed.into())
            .dtypes(&with_halves(dtypes_with_exp()));
        if let Some(checked) = assert_checks(check) {
            prop_assert!(checked.windows.is_empty());
        }
    }

    #[test]
    fn equal_logits_are_equally_probable(rows in 1usize..5, exponent in 0u32..11, level in -9i32..9) {
        let length = 1 << exponent;
        for dtype in dtypes_with_exp() {
            let y = softmax(&upload(&vec![f64::from(level); rows * length], &[rows, length], dtype)).unwrap();
            prop_assert!(download(&y).iter().all(|&p| p == 1.0 / length as f64));
        }
    }

    #[test]
    fn no_shape_panics(x in prop::collection::vec(0usize..4, 0..5), g in prop::collection::vec(0usize..4, 0..5)) {
        let of = |shape: &[usize]| Tensor::zeros(&client(), shape, DType::F32);
        prop_assert_eq!(softmax(&of(&x)).is_ok(), !x.is_empty());
        prop_assert_eq!(backward(&of(&x), &of(&g)).is_ok(), x == g);
    }
}

#[test]
fn values_and_gradients_are_pytorchs() {
    // torch.nn.functional.softmax in float64, and the gradient of the sum weighted by WEIGHTS.
    const X: [f64; 10] = [
        1.0, 2.0, 3.0, -1.0, 0.5, 1000.0, 1000.5, -1e4, 999.0, 1001.0,
    ];
    const WEIGHTS: [f64; 10] = [1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 1.0, 5.0, -1.0, 0.25];
    const Y: [f64; 10] = [
        0.08439385556553813,
        0.22940628401739954,
        0.6235909331788119,
        0.011421466346391884,
        0.05118746089185854,
        0.17437148764032928,
        0.2874899806762354,
        0.0,
        0.06414768542935739,
        0.47399084625407806,
    ];
    const GRAD: [f64; 10] = [
        0.09110707517108978,
        -0.4405641451705731,
        0.3613998228592682,
        0.035172934515922565,
        -0.04711568737570752,
        0.22832499335434625,
        0.08895429249954066,
        0.0,
        -0.108446985327402,
        -0.208832300526485,
    ];
    for dtype in dtypes_with_exp() {
        let y = softmax(&upload(&X, &[2, 5], dtype)).unwrap();
        assert_near("y", &y, &Y, &sizes(&X, &Y, 5), VALUE * naive(5));
        let got = backward(&y, &upload(&WEIGHTS, &[2, 5], dtype)).unwrap();
        assert_near(
            "x",
            &got,
            &GRAD,
            &Y.map(|y| 8.0 * y + 1e-37),
            GRADIENT * naive(5),
        );
    }
}

#[test]
fn a_tail_that_two_vectors_share_is_counted_once() {
    // 17 to 31 elements go in two vectors of 16, the second moved back; the probabilities of each row sum to 1.
    for length in 1..=50 {
        for dtype in dtypes_with_exp() {
            let y =
                download(&softmax(&upload(&reals(7, 3 * length), &[3, length], dtype)).unwrap());
            for row in y.chunks(length) {
                let sum: f64 = row.iter().sum();
                assert!((sum - 1.0).abs() < 1e-6, "{length} elements sum to {sum}");
            }
        }
    }
}

#[test]
fn a_row_without_a_softmax_is_nan_and_spoils_nobody_else() {
    let inf = f64::INFINITY;
    for length in [5, 16, 21, 40] {
        for (spoil, at) in [
            (f64::NAN, 0),
            (f64::NAN, length - 1),
            (inf, 2),
            (inf, length - 2),
        ] {
            let mut x = reals(1, 3 * length);
            x[length + at] = spoil;
            for dtype in dtypes_with_exp() {
                let y = download(&softmax(&upload(&x, &[3, length], dtype)).unwrap());
                for (i, y) in y.iter().enumerate() {
                    assert_eq!(
                        y.is_nan(),
                        i / length == 1,
                        "{spoil} at {at} of {length}: {i}"
                    );
                }
            }
        }
        for dtype in dtypes_with_exp() {
            let mut x = vec![-inf; 2 * length];
            x[length..].copy_from_slice(&reals(1, length));
            x[length + 3] = -inf;
            let y = download(&softmax(&upload(&x, &[2, length], dtype)).unwrap());
            assert!(
                y[..length].iter().all(|y| y.is_nan()),
                "{length} minus infinities"
            );
            assert_eq!(y[length + 3], 0.0);
            assert!(y[length..].iter().all(|y| y.is_finite()));
        }
    }
}

#[test]
fn a_row_of_131072_keeps_its_digits() {
    let length = 131_072;
    if !finishes_loops("a row of 131,072", 3 * length) {
        return;
    }
    // Equal exponentials round their sum the same way, thousands of times in a row.
    let mut x = vec![f64::from(-std::f32::consts::LN_10); length];
    x[77] = 0.0;
    let wanted = reference::forward(&x, length);
    let y = softmax(&upload(&x, &[1, length], DType::F32)).unwrap();
    assert_near("y", &y, &wanted, &wanted, 16.0);
    let y_rounded = download(&y);
    let mut grad = vec![1.0; length];
    grad[77] = 0.5;
    let by_x = reference::backward(&y_rounded, &grad, length);
    let got = backward(&y, &upload(&grad, &[1, length], DType::F32)).unwrap();
    assert_near("x", &got, &by_x, &y_rounded, 16.0);
}

#[test]
fn each_direction_is_one_launch_and_an_empty_tensor_none() {
    for (rows, wanted) in [(3, 1), (0, 0)] {
        let x = upload(&vec![1.0; rows * 7], &[rows, 7], DType::F32);
        let y = assert_launches("softmax", wanted, || softmax(&x).unwrap());
        assert_launches("backward", wanted, || backward(&y, &x).unwrap());
    }
}

#[test]
fn equal_rows_of_every_length_have_equal_bits_wherever_they_are() {
    // However many units share a row, and whatever part of a cube or of a run the last rows take.
    let shapes = [
        [130, 1],
        [131, 2],
        [67, 6],
        [33, 12],
        [19, 36],
        [9, 68],
        [5, 100],
        [3, 260],
        [3, 516],
        [2, 1_028],
        [5, 4_100],
        [2, 40_003],
    ];
    for [rows, length] in shapes {
        let x = ghostlight_tests::narrow(&reals(7, length));
        let wanted = reference::forward(&x, length);
        let y = softmax(&upload(&x.repeat(rows), &[rows, length], DType::F32)).unwrap();
        let got = download(&y);
        let (first, _) = got.split_at(length);
        assert!(
            got.chunks(length).all(|row| row == first),
            "{rows} x {length}"
        );
        let sizes = sizes(&x, &wanted, length).repeat(rows);
        let tolerance = VALUE * naive(length);
        assert_near("y", &y, &wanted.repeat(rows), &sizes, tolerance);
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for shape in [[1, 1], [7, 45], [33, 1000], [2, 70_001]] {
        let x = upload(&reals(1, shape[0] * shape[1]), &shape, DType::F32);
        let y = softmax(&x).unwrap();
        assert_same_bits("again", &y, &softmax(&x).unwrap());
        fingerprint.add(&y);
        fingerprint.add(&backward(&y, &x).unwrap());
    }
    let name = "repeated_launches_and_one_core_give_the_same_bits";
    assert_same_bits_on_one_core(name, &fingerprint);
}

#[test]
fn refusals_come_in_the_documented_order() {
    let of = |shape: &[usize], dtype| Tensor::zeros(&client(), shape, dtype);
    assert_refuses_shape(softmax(&of(&[], DType::F32)), "x", &[]);
    let (y, window) = (
        of(&[2, 3], DType::F32),
        of(&[2, 5], DType::F32).window(1, 3).unwrap(),
    );
    let is_window = |result: Result<Tensor, KernelError>, name: &str| {
        let error = result.unwrap_err();
        assert!(
            matches!(error, KernelError::Window { tensor, .. } if tensor == name),
            "{error}"
        );
    };
    is_window(softmax(&window), "x");
    is_window(backward(&window, &of(&[3], DType::F64)), "y");
    assert_refuses_shape(backward(&y, &of(&[3], DType::F64)), "grad", &[3]);
    assert_refuses_dtype(backward(&y, &of(&[2, 3], DType::F64)), "grad", DType::F64);
    is_window(backward(&y, &window), "grad");
    assert!(backward(&y, &y).is_ok());
}
