//! Values that are not finite, and values that must not depend on chance.

use super::case::{Operands, RESULTS, problem};
use ghostlight_kernels::DType;
use ghostlight_kernels::conv::dense::ConvProblem;
use ghostlight_tests::{
    Fingerprint, assert_near, assert_same_bits, assert_same_bits_on_one_core, download, dtypes,
    finishes_loops, reals,
};

fn several() -> [ConvProblem; 6] {
    [
        problem([3, 11, 19], [3, 3], [16, 32], [1, 1], [1, 1]),
        problem([3, 12, 9], [3, 2], [10, 24], [2, 2], [1, 0]),
        problem([3, 9, 9], [1, 1], [3, 16], [1, 1], [0, 0]),
        problem([3, 10, 10], [2, 2], [1, 3], [3, 3], [0, 0]),
        problem([5, 5, 4], [3, 3], [50, 70], [1, 1], [1, 1]),
        problem([2, 6, 7], [3, 3], [64, 100], [2, 2], [1, 1]),
    ]
}

/// Asserts that `spoiled` is `clean`, bit for bit, save where the reference is not finite.
fn assert_spoiled_like(what: &str, spoiled: &[f64], reference: &[f64], clean: &[f64]) {
    for (i, (&got, &wanted)) in spoiled.iter().zip(reference).enumerate() {
        if wanted.is_finite() {
            assert_eq!(
                got.to_bits(),
                clean[i].to_bits(),
                "{what}: element {i} is not touched"
            );
        } else {
            assert!(
                !got.is_finite(),
                "{what}: element {i} is {got}, wanted {wanted}"
            );
        }
    }
    assert!(
        reference.iter().any(|v| !v.is_finite()),
        "{what}: nothing was spoiled"
    );
}

#[test]
fn a_pixel_that_is_not_finite_spoils_the_windows_that_read_it_and_nothing_else() {
    for problem in several() {
        let clean = Operands::draw(&problem, 3, reals);
        // The last channel of the first pixel of the second image.
        let image = problem.input.iter().product::<usize>() * problem.in_channels;
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut spoiled = clean.clone();
            spoiled.x[image + problem.in_channels - 1] = value;
            let reference = spoiled.reference(&problem);
            for dtype in dtypes() {
                let (got, before) = (spoiled.run(&problem, dtype), clean.run(&problem, dtype));
                for i in [0, 2] {
                    let (got, before) = (download(&got[i]), download(&before[i]));
                    assert_spoiled_like(RESULTS[i], &got, &reference[i], &before);
                }
                assert_same_bits("grad_input does not read x", &got[1], &before[1]);
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_spoils_the_pixels_under_it_and_nothing_else() {
    for problem in several() {
        let clean = Operands::draw(&problem, 4, reals);
        // The centre of the second image, whose window lies within the input: a padded zero times NaN is nobody's concern.
        let [h, w] = problem.output();
        let centre = (h + h / 2) * w + w / 2;
        let mut spoiled = clean.clone();
        spoiled.g[centre * problem.out_channels] = f64::NAN;
        let reference = spoiled.reference(&problem);
        for dtype in dtypes() {
            let (got, before) = (spoiled.run(&problem, dtype), clean.run(&problem, dtype));
            for i in [1, 2] {
                let (got, before) = (download(&got[i]), download(&before[i]));
                assert_spoiled_like(RESULTS[i], &got, &reference[i], &before);
            }
        }
    }
}

#[test]
fn products_past_the_range_of_f32_overflow_and_tiny_ones_vanish() {
    let problem = problem([1, 4, 4], [3, 3], [3, 16], [1, 1], [1, 1]);
    let ends: [(f64, f64); 2] = [(1e30, f64::INFINITY), (1e-30, 0.0)];
    for (scale, end) in ends {
        let large = |_, count| vec![f64::from(scale as f32); count];
        let operands = Operands {
            x: large(0, problem.input_shape().iter().product()),
            w: large(0, problem.weight_shape().iter().product()),
            g: large(0, problem.output_shape().iter().product()),
        };
        for (name, result) in RESULTS.iter().zip(operands.run(&problem, DType::F32)) {
            assert!(
                download(&result).iter().all(|&v| v == end),
                "{name} at {scale}"
            );
        }
    }
}

#[test]
fn repeated_launches_give_the_same_bits() {
    for problem in several() {
        let operands = Operands::draw(&problem, 5, reals);
        for dtype in dtypes() {
            let first = operands.run(&problem, dtype);
            for _ in 0..4 {
                let again = operands.run(&problem, dtype);
                for i in 0..3 {
                    assert_same_bits(RESULTS[i], &first[i], &again[i]);
                }
            }
        }
    }
}

#[test]
fn an_image_has_the_same_bits_alone_and_in_a_batch_whose_sums_are_as_deep() {
    // Few pixels under many products: a GPU cuts their sums, and must not ask how many images there are.
    for (kernel, stride) in [([3, 3], [1, 1]), ([3, 2], [2, 1])] {
        let batch = problem([5, 5, 4], kernel, [64, 40], stride, [1, 1]);
        let operands = Operands::draw(&batch, 12, reals);
        let together = operands.run(&batch, DType::F32).map(|t| download(&t));
        let [x, g] =
            [batch.input_shape(), batch.output_shape()].map(|[_, h, w, channels]| h * w * channels);
        for image in [0, 3] {
            let one = Operands {
                x: operands.x[image * x..][..x].to_vec(),
                w: operands.w.clone(),
                g: operands.g[image * g..][..g].to_vec(),
            };
            let problem = ConvProblem { batch: 1, ..batch };
            let alone = one.run(&problem, DType::F32).map(|t| download(&t));
            assert_eq!(
                alone[0],
                together[0][image * g..][..g],
                "forward, {kernel:?}"
            );
            assert_eq!(
                alone[1],
                together[1][image * x..][..x],
                "gradient, {kernel:?}"
            );
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    let long = problem([40, 9, 5], [3, 3], [3, 16], [1, 1], [1, 1]);
    for problem in several().into_iter().chain([long]) {
        let operands = Operands::draw(&problem, 6, reals);
        for dtype in dtypes() {
            for result in operands.run(&problem, dtype) {
                fingerprint.add(&result);
            }
        }
    }
    assert_same_bits_on_one_core("values::one_core_gives_the_same_bits_as_all", &fingerprint);
}

#[test]
fn the_weights_gradient_adds_up_a_million_equal_products() {
    if !finishes_loops("weights of a million pixels", 1_000_000) {
        return;
    }
    // Added one by one, equal products round their sum the same way, thousands of times in a row.
    let image = problem([1, 1000, 1000], [3, 3], [1, 2], [1, 1], [1, 1]);
    let line = problem([1, 1, 1_000_000], [1, 3], [2, 3], [1, 1], [0, 1]);
    for problem in [image, line] {
        let mut operands = Operands::draw(&problem, 3, reals);
        operands.x.fill(1.0);
        operands.g.fill(f64::from(0.1f32));
        let (got, wanted) = (
            operands.run(&problem, DType::F32),
            operands.reference(&problem),
        );
        assert_near(RESULTS[2], &got[2], &wanted[2], &wanted[2], 160.0);
    }
}
