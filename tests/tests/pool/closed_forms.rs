//! Poolings whose result is known without computing it.

use super::case::{Case, Pool};
use ghostlight_kernels::DType;
use ghostlight_kernels::pool::adaptive_average::adaptive_average;
use ghostlight_kernels::pool::average::{AveragePoolOptions, average_pool};
use ghostlight_kernels::pool::global_average::global_average;
use ghostlight_kernels::pool::max::MaxPoolOptions;
use ghostlight_tests::{
    assert_exact, assert_near, download, dtypes, finishes_loops, naive, reals, upload,
};

/// `[1, h, w, 1]` with the value `f(y, x)` at each pixel.
fn image(h: usize, w: usize, f: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..h)
        .flat_map(|y| (0..w).map(move |x| (y, x)))
        .map(|(y, x)| f(y, x))
        .collect()
}

#[test]
fn the_gradient_of_equal_maxima_goes_to_the_first_in_row_major_order() {
    let case = Case {
        input: [1, 4, 6, 1],
        pool: Pool::Max(MaxPoolOptions::square(2, 2, 0)),
    };
    let (x, g) = (vec![7.0; 24], (1..=6).map(f64::from).collect::<Vec<_>>());
    let first = image(4, 6, |y, x| match (y % 2, x % 2) {
        (0, 0) => (y / 2 * 3 + x / 2 + 1) as f64,
        _ => 0.0,
    });
    for dtype in dtypes() {
        let [y, grad] = case.run(&x, &g, dtype);
        assert_exact("maxima", &y, &[7.0; 6]);
        assert_exact("gradient", &grad, &first);
    }
}

#[test]
fn the_mean_of_a_ramp_is_its_value_at_the_middle() {
    let ramp = |y: usize, x: usize| 3.0 * y as f64 - 2.0 * x as f64;
    let x = upload(&image(9, 12, ramp), &[1, 9, 12, 1], DType::F32);
    let y = average_pool(&x, AveragePoolOptions::square(4, 2, 0)).unwrap();
    let middle = image(3, 5, |y, x| ramp(2 * y, 2 * x) + 1.5);
    assert_exact("means", &y, &middle);
}

#[test]
fn one_bin_is_the_global_average_and_a_bin_a_pixel_the_image_itself() {
    let shape = [3, 6, 7, 20];
    let values = reals(1, shape.iter().product());
    for dtype in dtypes() {
        let x = upload(&values, &shape, dtype);
        let one = adaptive_average(&x, [1, 1]).unwrap();
        let global = download(&global_average(&x).unwrap());
        assert_near(
            "one bin",
            &one,
            &global,
            &vec![1.0; global.len()],
            naive(42),
        );
        assert_exact(
            "a bin a pixel",
            &adaptive_average(&x, [6, 7]).unwrap(),
            &values,
        );
    }
}

#[test]
fn bins_that_divide_the_image_are_sliding_windows() {
    let shape = [2, 12, 15, 10];
    let values = reals(1, shape.iter().product());
    for dtype in dtypes() {
        let x = upload(&values, &shape, dtype);
        let windows = AveragePoolOptions {
            kernel: [4, 3],
            stride: [4, 3],
            padding: [0, 0],
            ceil_mode: false,
            count_include_pad: false,
        };
        let wanted = download(&average_pool(&x, windows).unwrap());
        assert_exact("means", &adaptive_average(&x, [3, 5]).unwrap(), &wanted);
    }
}

#[test]
fn a_million_equal_pixels_average_to_their_value() {
    if !finishes_loops("a million equal pixels", 1_000_000) {
        return;
    }
    let value = f64::from(0.1f32);
    let x = upload(&vec![value; 1_000_000], &[1, 1000, 1000, 1], DType::F32);
    let y = adaptive_average(&x, [1, 1]).unwrap();
    assert_near("average", &y, &[value], &[value], naive(1_000_000));
}
