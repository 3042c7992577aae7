//! Values that are not finite, and values that must not depend on chance.

use super::case::{Case, Pool, several};
use ghostlight_kernels::DType;
use ghostlight_kernels::pool::max::MaxPoolOptions;
use ghostlight_tests::{
    Fingerprint, assert_exact, assert_near, assert_same_bits, assert_same_bits_on_one_core,
    download, dtypes, finishes_loops, reals,
};

const NAN: f64 = f64::NAN;
const LOW: f64 = f64::NEG_INFINITY;

/// The maximum of one 2x2 window and the four gradients under it.
fn window(x: [f64; 4], dtype: DType) -> (f64, Vec<f64>) {
    let case = Case {
        input: [1, 2, 2, 1],
        pool: Pool::Max(MaxPoolOptions::square(2, 2, 0)),
    };
    let [y, grad] = case.run(&x, &[1.0], dtype);
    (download(&y)[0], download(&grad))
}

#[test]
fn a_nan_is_the_maximum_and_the_last_of_several_gets_the_gradient() {
    // As PyTorch has it: indices 0, 2, 3 and 1 of `max_pool2d(..., return_indices=True)`.
    let windows = [
        ([NAN, 1.0, f64::INFINITY, 2.0], 0),
        ([NAN, 1.0, NAN, 2.0], 2),
        ([1.0, 2.0, 3.0, NAN], 3),
        ([LOW, NAN, 5.0, LOW], 1),
    ];
    for dtype in dtypes() {
        for (x, winner) in windows {
            let (y, grad) = window(x, dtype);
            assert!(y.is_nan(), "{x:?}: {y}");
            let wanted: Vec<f64> = (0..4).map(|i| f64::from(i == winner)).collect();
            assert_eq!(grad, wanted, "{x:?}");
        }
    }
}

#[test]
fn infinities_and_zeros_of_both_signs_are_compared_as_numbers() {
    let windows = [
        ([LOW, LOW, LOW, LOW], LOW, 0),
        ([LOW, -3e38, LOW, LOW], -3e38, 1),
        ([1.0, f64::INFINITY, 2.0, f64::INFINITY], f64::INFINITY, 1),
        ([-0.0, 0.0, -0.0, 0.0], 0.0, 0),
    ];
    for dtype in dtypes() {
        for (x, value, winner) in windows {
            let (y, grad) = window(x, dtype);
            assert!(y == value || y == f64::from(value as f32), "{x:?}: {y}");
            let wanted: Vec<f64> = (0..4).map(|i| f64::from(i == winner)).collect();
            assert_eq!(grad, wanted, "{x:?}");
        }
    }
}

#[test]
fn a_window_over_nothing_but_padding_gives_minus_infinity_and_no_gradient() {
    // Taps at -1 and 3 of an image of 3: PyTorch gives -inf too.
    let options = MaxPoolOptions {
        dilation: [4, 4],
        ..MaxPoolOptions::square(2, 1, 1)
    };
    let case = Case {
        input: [2, 3, 3, 5],
        pool: Pool::Max(options),
    };
    for dtype in dtypes() {
        let [y, grad] = case.run(&reals(1, 90), &[1.0; 10], dtype);
        assert_eq!(download(&y), [LOW; 10]);
        assert_exact("gradient", &grad, &[0.0; 90]);
    }
}

#[test]
fn a_value_that_is_not_finite_spoils_the_windows_over_it_and_nothing_else() {
    for case in several() {
        let [input, output] = case.lens();
        let (clean, g) = (reals(3, input), reals(4, output));
        let [_, h, w, c] = case.input;
        for value in [NAN, f64::INFINITY] {
            let mut spoiled = clean.clone();
            // The last channel of a pixel within the second image, in a row that dilated windows read too.
            spoiled[(h * w + (h - 1).min(3) * w + w / 2) * c + c - 1] = value;
            let [wanted, _] = case.reference(&spoiled, &g);
            assert!(wanted.iter().any(|v| !v.is_finite()));
            for dtype in dtypes() {
                let [got, _] = case.run(&spoiled, &g, dtype).map(|t| download(&t));
                let [before, _] = case.run(&clean, &g, dtype).map(|t| download(&t));
                for (i, wanted) in wanted.iter().enumerate() {
                    match wanted.is_finite() {
                        true => assert_eq!(got[i].to_bits(), before[i].to_bits(), "element {i}"),
                        false => assert_eq!(got[i].to_string(), wanted.to_string(), "element {i}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_spoils_the_pixels_that_it_belongs_to_and_nothing_else() {
    for case in several() {
        let [input, output] = case.lens();
        let (x, clean) = (reals(3, input), reals(4, output));
        let mut spoiled = clean.clone();
        spoiled[output / 2] = NAN;
        let [_, wanted] = case.reference(&x, &spoiled);
        for dtype in dtypes() {
            let [_, got] = case.run(&x, &spoiled, dtype).map(|t| download(&t));
            let [_, before] = case.run(&x, &clean, dtype).map(|t| download(&t));
            for (i, wanted) in wanted.iter().enumerate() {
                match wanted.is_nan() {
                    true => assert!(got[i].is_nan(), "element {i}: {}", got[i]),
                    false => assert_eq!(got[i].to_bits(), before[i].to_bits(), "element {i}"),
                }
            }
        }
    }
}

#[test]
fn a_pixel_under_a_million_bins_gets_the_sum_of_their_gradients() {
    if !finishes_loops("a million bins over one pixel", 1_000_000) {
        return;
    }
    let (count, tenth) = (1_000_000, f64::from(0.1f32));
    let case = Case {
        input: [1, 1, 1, 1],
        pool: Pool::Adaptive([1000, 1000]),
    };
    let [_, got] = case.run(&[1.0], &vec![tenth; count], DType::F32);
    let wanted = [tenth * count as f64];
    assert_near("gradient", &got, &wanted, &wanted, 256.0);
}

#[test]
fn repeated_launches_give_the_same_bits() {
    for case in several() {
        let [input, output] = case.lens();
        let (x, g) = (reals(5, input), reals(6, output));
        for dtype in dtypes() {
            let first = case.run(&x, &g, dtype);
            for _ in 0..4 {
                let again = case.run(&x, &g, dtype);
                assert_same_bits("value", &first[0], &again[0]);
                assert_same_bits("gradient", &first[1], &again[1]);
            }
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for case in several() {
        let [input, output] = case.lens();
        let (x, g) = (reals(7, input), reals(8, output));
        for dtype in dtypes() {
            case.run(&x, &g, dtype)
                .iter()
                .for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core("hostile::one_core_gives_the_same_bits_as_all", &fingerprint);
}
