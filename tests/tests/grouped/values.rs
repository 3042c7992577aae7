//! Values that are not finite, values that must not depend on chance, and launches.

use super::case::{Operands, RESULTS, all, problem};
use ghostlight_kernels::conv::grouped::{self, GroupedProblem};
use ghostlight_kernels::{DType, launch};
use ghostlight_tests::{
    Fingerprint, assert_launches, assert_near, assert_same_bits, assert_same_bits_on_one_core,
    client, download, dtypes, finishes_loops, reals, upload,
};

fn several() -> [GroupedProblem; 5] {
    [
        problem([3, 11, 19], [3, 3], [8, 4, 4], [1, 1], [1, 1]),
        problem([3, 9, 9], [3, 3], [5, 12, 12], [1, 1], [1, 1]),
        problem([3, 12, 9], [3, 2], [3, 20, 24], [2, 2], [1, 0]),
        problem([3, 9, 9], [1, 1], [4, 2, 6], [1, 1], [0, 0]),
        problem([3, 10, 10], [2, 2], [7, 1, 3], [3, 3], [0, 0]),
    ]
}

/// Asserts that `spoiled` is `clean`, bit for bit, save where the reference is not finite.
fn assert_spoiled_like(what: &str, spoiled: &[f64], reference: &[f64], clean: &[f64]) {
    for (i, (&got, &wanted)) in spoiled.iter().zip(reference).enumerate() {
        if wanted.is_finite() {
            let (got, clean) = (got.to_bits(), clean[i].to_bits());
            assert_eq!(got, clean, "{what}: element {i} is not touched");
        } else {
            assert!(
                !got.is_finite(),
                "{what}: element {i} is {got}, wanted {wanted}"
            );
        }
    }
    let spoiled = reference.iter().any(|v| !v.is_finite());
    assert!(spoiled, "{what}: nothing was spoiled");
}

#[test]
fn a_pixel_that_is_not_finite_spoils_its_own_group_where_it_is_read_and_nothing_else() {
    for problem in several() {
        let clean = Operands::draw(&problem, 3, reals);
        // Under the centre of an output of the second image, in the last channel of the first group and in the first of the
        // second: at the border, the zeros beside the gradient would spoil taps that read no such pixel.
        let middle = |axis: usize| {
            let to = problem.output()[axis] / 2 * problem.options.stride[axis];
            to + problem.kernel[axis] / 2 - problem.options.padding[axis]
        };
        let pixel = (problem.input[0] + middle(0)) * problem.input[1] + middle(1);
        let image = pixel * problem.in_channels;
        let border = problem.group()[0];
        for value in [f64::NAN, f64::INFINITY] {
            for channel in [border - 1, border] {
                let mut spoiled = clean.clone();
                spoiled.x[image + channel] = value;
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
}

#[test]
fn a_gradient_that_is_not_finite_spoils_its_own_group_under_it_and_nothing_else() {
    for problem in several() {
        let clean = Operands::draw(&problem, 4, reals);
        // The centre of the second image, whose window lies within the input: a padded zero times NaN is nobody's concern.
        let [h, w] = problem.output();
        let centre = (h + h / 2) * w + w / 2;
        let mut spoiled = clean.clone();
        spoiled.g[centre * problem.out_channels + problem.group()[1]] = f64::NAN;
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
    let ends: [(f64, f64); 2] = [(1e30, f64::INFINITY), (1e-30, 0.0)];
    for problem in several() {
        for (scale, end) in ends {
            let large = |shape: [usize; 4]| vec![f64::from(scale as f32); shape.iter().product()];
            let operands = Operands {
                x: large(problem.input_shape()),
                w: large(problem.weight_shape()),
                g: large(problem.output_shape()),
            };
            let [y, _, grad_weight] = operands.run(&problem, DType::F32);
            for result in [y, grad_weight] {
                assert!(download(&result).iter().all(|&v| v == end), "at {scale}");
            }
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
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    let long = problem([40, 9, 5], [3, 3], [4, 8, 8], [1, 1], [1, 1]);
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
fn all_groups_go_in_one_launch_and_the_gradients_in_two_at_most() {
    // A GPU cuts the depth of few pixels, and adds up the parts.
    let sums = usize::from(!launch::is_cpu(&client()));
    let light = problem([2, 12, 12], [3, 3], [8, 4, 4], [1, 1], [1, 1]);
    let heavy = problem([1, 5, 5], [3, 3], [2, 120, 128], [2, 2], [1, 1]);
    let empty = problem([0, 5, 5], [3, 3], [2, 8, 8], [1, 1], [1, 1]);
    for (problem, counts) in [
        (light, [1, 2, 2]),
        (heavy, [1 + sums, 2 + sums, 1]),
        (empty, [0, 0, 0]),
    ] {
        let operands = Operands::draw(&problem, 1, reals);
        let x = upload(&operands.x, &problem.input_shape(), DType::F32);
        let w = upload(&operands.w, &problem.weight_shape(), DType::F32);
        let g = upload(&operands.g, &problem.output_shape(), DType::F32);
        let (groups, options) = (problem.groups, problem.options);
        let ours = assert_launches(RESULTS[0], counts[0], || {
            grouped::conv(&x, &w, groups, options)
        });
        ours.unwrap();
        assert_launches(RESULTS[1], counts[1], || {
            grouped::grad_input(&x, &w, &g, groups, options).unwrap()
        });
        assert_launches(RESULTS[2], counts[2], || {
            grouped::grad_weight(&x, &w, &g, groups, options).unwrap()
        });
        all(&problem, &x, &w, &g);
    }
}

#[test]
fn the_weights_gradient_adds_up_a_million_equal_products() {
    if !finishes_loops("weights of a million pixels", 1_000_000) {
        return;
    }
    // Added one by one, equal products round their sum the same way, thousands of times in a row.
    let image = problem([1, 1000, 1000], [3, 3], [2, 1, 1], [1, 1], [1, 1]);
    let line = problem([1, 1, 1_000_000], [1, 3], [2, 2, 2], [1, 1], [0, 1]);
    let strided = problem([1, 1000, 2000], [3, 3], [2, 2, 2], [1, 2], [1, 1]);
    for problem in [image, line, strided] {
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
