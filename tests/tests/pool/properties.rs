//! What holds for every pooling.

use super::case::{Case, Pool, cases};
use ghostlight_kernels::Tensor;
use ghostlight_kernels::pool::average::AveragePoolOptions;
use ghostlight_kernels::pool::max::{self, MaxPoolOptions};
use ghostlight_tests::{
    GRADIENT, VALUE, Windowed, assert_adjoint, assert_exact, assert_launches, assert_near,
    assert_same_bits, download, dtypes, integers, naive, reals, upload,
};
use proptest::prelude::*;

/// Equal, infinities included.
fn assert_same_values(what: &str, got: &Tensor, wanted: &[f64]) {
    assert_eq!(download(got), wanted, "{what} in {:?}", got.dtype());
}

/// Equal to the reference: in every bit where no rounding can happen.
fn assert_like_the_reference(case: &Case, x: &[f64], g: &[f64]) {
    let wanted = case.reference(x, g);
    let [taps, windows] = case.terms();
    for dtype in dtypes() {
        let got = case.run(x, g, dtype);
        let [values, gradients] = case.magnitudes(x, g);
        match case.pool {
            Pool::Max(_) => assert_same_values("value", &got[0], &wanted[0]),
            _ => assert_near("value", &got[0], &wanted[0], &values, VALUE * naive(taps)),
        }
        let units = GRADIENT * naive(windows);
        assert_near("gradient", &got[1], &wanted[1], &gradients, units);
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(96))]

    #[test]
    fn values_and_gradients_differ_from_the_reference_by_no_more_than_rounding(case in cases(), seed: u32) {
        let [input, output] = case.lens();
        assert_like_the_reference(&case, &reals(seed.into(), input), &reals(1, output));
    }

    #[test]
    fn integers_with_many_equal_maxima_give_exactly_what_the_reference_gives(case in cases(), seed: u32) {
        let [input, output] = case.lens();
        let (x, g) = (integers(seed.into(), input), integers(1, output));
        let exact = match case.pool {
            Pool::Max(_) => true,
            Pool::Average(AveragePoolOptions { kernel, padding, ceil_mode, .. }) => {
                padding == [0, 0] && !ceil_mode && (kernel[0] * kernel[1]).is_power_of_two()
            }
            Pool::Adaptive([oh, ow]) => {
                let [_, h, w, _] = case.input;
                h % oh == 0 && w % ow == 0 && (h / oh * (w / ow)).is_power_of_two()
            }
        };
        if !exact {
            return Ok(());
        }
        let wanted = case.reference(&x, &g);
        for dtype in dtypes() {
            let got = case.run(&x, &g, dtype);
            assert_same_values("value", &got[0], &wanted[0]);
            assert_exact("gradient", &got[1], &wanted[1]);
        }
    }

    #[test]
    fn gradients_are_adjoints(case in cases(), seed: u32) {
        let [input, output] = case.lens();
        let (x, g) = (reals(seed.into(), input), reals(1, output));
        for dtype in dtypes() {
            let [y, grad] = case.run(&x, &g, dtype).map(|t| download(&t));
            // The maximum of finite values is linear in them while they keep their order; without any it is no number.
            if y.iter().any(|v| v.is_infinite()) {
                continue;
            }
            let magnitude = case.magnitudes(&x, &g)[0].iter().zip(&g).map(|(y, g)| y * g.abs()).sum();
            assert_adjoint("<pool(x), g> = <x, gradient(g)>", dtype, (&y, &g), (&x, &grad), magnitude);
        }
    }

    #[test]
    fn windows_of_larger_tensors_give_the_same_bits(case in cases(), before in 0usize..20, after in 0usize..20) {
        let [input, output] = case.lens();
        let (x, g) = (reals(1, input), reals(2, output));
        for dtype in dtypes() {
            let whole = case.run(&x, &g, dtype);
            let x = Windowed::of(&x, &case.input, dtype, before, after);
            let g = Windowed::of(&g, &case.output(), dtype, after, before);
            let windowed = case.apply(&x.window, &g.window);
            assert_same_bits("value", &whole[0], &windowed[0]);
            assert_same_bits("gradient", &whole[1], &windowed[1]);
        }
    }

    #[test]
    fn max_pooling_without_a_gradient_gives_the_same_maxima(case in cases(), seed: u32) {
        if let Pool::Max(options) = case.pool {
            let x = upload(&reals(seed.into(), case.lens()[0]), &case.input, dtypes()[0]);
            let (y, _) = max::train(&x, options).unwrap();
            assert_same_bits("maxima", &max::max_pool(&x, options).unwrap(), &y);
        }
    }
}

#[test]
fn corners_are_as_the_reference_has_them() {
    let max = |k, s, p| Pool::Max(MaxPoolOptions::square(k, s, p));
    let average = |k, s, p| Pool::Average(AveragePoolOptions::square(k, s, p));
    let ceil = |k, s, p| {
        Pool::Max(MaxPoolOptions {
            ceil_mode: true,
            ..MaxPoolOptions::square(k, s, p)
        })
    };
    let corners = [
        ("one pixel", [1, 1, 1, 1], max(1, 1, 0)),
        ("one pixel under a padded 3x3", [2, 1, 1, 3], max(3, 2, 1)),
        (
            "a mean of one pixel and eight zeros",
            [2, 1, 1, 3],
            average(3, 2, 1),
        ),
        ("a window past the image", [1, 2, 2, 10], ceil(3, 2, 0)),
        ("a row", [2, 1, 37, 16], max(3, 2, 1)),
        ("a column", [2, 37, 1, 12], average(3, 1, 1)),
        (
            "a stride that leaves pixels unread",
            [2, 11, 13, 36],
            average(2, 5, 0),
        ),
        ("a stride past the image", [1, 5, 5, 60], max(2, 1024, 1)),
        ("windows over everything", [1, 12, 12, 3], max(24, 1, 12)),
        ("the stem of a ResNet", [1, 18, 18, 64], max(3, 2, 1)),
        ("an empty batch", [0, 8, 8, 16], max(2, 2, 0)),
        (
            "an empty batch of means",
            [0, 8, 8, 16],
            Pool::Adaptive([3, 3]),
        ),
        ("one bin", [2, 9, 7, 100], Pool::Adaptive([1, 1])),
        ("bins of one pixel", [2, 5, 7, 36], Pool::Adaptive([5, 7])),
        (
            "more bins than pixels",
            [2, 2, 3, 10],
            Pool::Adaptive([7, 11]),
        ),
        ("overlapping bins", [2, 16, 16, 64], Pool::Adaptive([3, 3])),
        (
            "one pixel for many bins",
            [1, 1, 1, 1],
            Pool::Adaptive([5, 5]),
        ),
    ];
    for (name, input, pool) in corners {
        println!("{name}");
        let case = Case { input, pool };
        let [input, output] = case.lens();
        assert_like_the_reference(&case, &reals(3, input), &reals(4, output));
    }
}

#[test]
fn each_phase_is_one_launch_and_an_empty_batch_none() {
    for (batch, launches) in [(2, 1), (0, 0)] {
        let dtype = dtypes()[0];
        for case in super::case::several() {
            let mut case = case;
            case.input[0] = batch;
            let [input, output] = case.lens();
            let x = upload(&reals(1, input), &case.input, dtype);
            let g = upload(&reals(2, output), &case.output(), dtype);
            assert_launches("forward and backward", 2 * launches, || case.apply(&x, &g));
            if let Pool::Max(options) = case.pool {
                assert_launches("inference", launches, || {
                    max::max_pool(&x, options).unwrap()
                });
            }
        }
    }
}
