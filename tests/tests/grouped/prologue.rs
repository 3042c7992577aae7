//! Grouped convolutions that normalise what they read.

use super::case::{problem, problems};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::grouped::{self, GroupedProblem};
use ghostlight_tests::{NOT_FINITE, assert_entered_is_written, reals, upload};
use proptest::prelude::*;

fn check(problem: &GroupedProblem, seed: u32, clamp: Clamp, spoiled: Option<(usize, f64)>) {
    let (weight, output) = (problem.weight_shape(), problem.output_shape());
    let draw = |seed: u32, shape: [usize; 4]| reals(seed.into(), shape.iter().product());
    let (w, g) = (draw(seed ^ 1, weight), draw(seed ^ 2, output));
    let input = problem.input_shape();
    assert_entered_is_written(&input, seed, clamp, spoiled, |dtype, source| {
        let (w, g) = (upload(&w, &weight, dtype), upload(&g, &output, dtype));
        let (groups, options) = (problem.groups, problem.options);
        vec![
            grouped::conv(source.clone(), &w, groups, options).unwrap(),
            grouped::grad_weight(source, &w, &g, groups, options).unwrap(),
        ]
    });
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(24))]

    #[test]
    fn a_map_that_is_normalised_as_it_is_read_gives_what_the_written_one_gives(
        problem in problems(),
        seed: u32,
        clamp in prop::sample::select(&Clamp::ALL[..]),
        spoiled in prop::option::weighted(0.2, (any::<usize>(), prop::sample::select(&NOT_FINITE[..]))),
    ) {
        check(&problem, seed, clamp, spoiled);
    }
}

#[test]
fn groups_that_share_a_vector_and_groups_that_fill_several_have_the_bits_of_the_written_map() {
    let one = [1, 1];
    for problem in [
        problem([2, 9, 8], [3, 3], [9, 4, 4], one, one),
        problem([1, 9, 8], [3, 3], [4, 8, 8], [2, 2], one),
        problem([1, 9, 8], [3, 3], [2, 24, 40], one, one),
    ] {
        check(&problem, 4, Clamp::Relu6, None);
    }
}
