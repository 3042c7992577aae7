//! Depthwise convolutions that normalise what they read.

use super::case::{problem, problems};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::depthwise::{self, DepthwiseProblem};
use ghostlight_tests::{NOT_FINITE, assert_entered_is_written, reals, upload};
use proptest::prelude::*;

fn check(problem: &DepthwiseProblem, seed: u32, clamp: Clamp, spoiled: Option<(usize, f64)>) {
    let (weight, output) = (problem.weight_shape(), problem.output_shape());
    let draw = |seed: u32, shape: &[usize]| reals(seed.into(), shape.iter().product());
    let (w, g) = (draw(seed ^ 1, &weight), draw(seed ^ 2, &output));
    let input = problem.input_shape();
    assert_entered_is_written(&input, seed, clamp, spoiled, |dtype, source| {
        let (w, g) = (upload(&w, &weight, dtype), upload(&g, &output, dtype));
        let options = problem.options;
        vec![
            depthwise::depthwise(source.clone(), &w, None, options).unwrap(),
            depthwise::grad_weight(source, &w, &g, options).unwrap(),
        ]
    });
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(32))]

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
fn tiles_walks_and_sweeps_have_the_bits_of_the_written_map() {
    let one = [1, 1];
    for problem in [
        problem([2, 9, 13], [3, 3], [36, 1], one, one, [1; 4]),
        problem([1, 11, 9], [3, 3], [10, 1], [2, 2], one, [1, 0, 0, 1]),
        problem([2, 7, 8], [3, 3], [12, 2], one, one, [1; 4]),
        problem([1, 9, 12], [7, 7], [20, 1], one, one, [3; 4]),
        problem([1, 12, 12], [9, 11], [20, 1], one, [2, 1], [8, 8, 5, 5]),
    ] {
        check(&problem, 4, Clamp::Relu6, None);
    }
}
