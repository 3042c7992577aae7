//! Convolutions that normalise what they read.

use super::case::{problem, problems, strategy};
use ghostlight_kernels::conv::dense::{self, Affine, ConvProblem, Strategy};
use ghostlight_kernels::{Clamp, DType, Source, Tensor, launch};
use ghostlight_tests::{
    NOT_FINITE, assert_entered_is_written, assert_refuses_range, client, reals, upload,
};
use proptest::prelude::*;

fn check(
    problem: &ConvProblem,
    strategy: Strategy,
    seed: u32,
    clamp: Clamp,
    spoiled: Option<(usize, f64)>,
) {
    let (weight, output) = (problem.weight_shape(), problem.output_shape());
    let draw = |seed: u32, shape: [usize; 4]| reals(seed.into(), shape.iter().product());
    let (w, g) = (draw(seed ^ 1, weight), draw(seed ^ 2, output));
    let input = problem.input_shape();
    assert_entered_is_written(&input, seed, clamp, spoiled, |dtype, source| {
        let (w, g) = (upload(&w, &weight, dtype), upload(&g, &output, dtype));
        let options = problem.options;
        vec![
            dense::conv_by(strategy, source.clone(), &w, options, None).unwrap(),
            dense::grad_weight_by(strategy, source, &w, &g, options).unwrap(),
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
        check(&problem, strategy(&problem), seed, clamp, spoiled);
    }
}

#[test]
fn every_kernel_has_the_bits_of_the_written_map() {
    let one = [1, 1];
    // Narrow and wide outputs, with a stride; products of few and of many rows, and of channels that fill no vector.
    for problem in [
        problem([2, 17, 9], [3, 3], [16, 16], [2, 2], one),
        problem([3, 9, 11], [3, 3], [20, 72], [2, 2], one),
        problem([2, 5, 6], [5, 3], [24, 40], one, [2, 1]),
        problem([2, 15, 15], [1, 1], [24, 144], one, [0, 0]),
        problem([2, 15, 15], [1, 1], [144, 24], one, [0, 0]),
        problem([1, 3, 3], [1, 1], [37, 5], one, [0, 0]),
        problem([5, 13, 13], [1, 1], [10, 16], one, [0, 0]),
    ] {
        check(&problem, Strategy::Direct, 3, Clamp::Relu6, None);
    }
}

#[test]
fn winograds_tiles_are_padded_behind_the_activation_and_pass_on_what_is_no_number() {
    if !launch::is_cpu(&client()) {
        return;
    }
    let one = [1, 1];
    for strategy in [Strategy::Winograd2, Strategy::Winograd4] {
        for problem in [
            problem([2, 9, 14], [3, 3], [16, 24], one, one),
            problem([1, 6, 5], [3, 3], [21, 64], one, one),
        ] {
            for spoiled in [None, Some((100, f64::INFINITY))] {
                check(&problem, strategy, 5, Clamp::Relu, spoiled);
            }
        }
    }
}

#[test]
fn a_prologue_with_a_residual_is_refused() {
    let of = |shape: &[usize]| Tensor::zeros(&client(), shape, DType::F32);
    let (x, w, map) = (of(&[1, 4, 4, 8]), of(&[3, 3, 8, 8]), of(&[8]));
    let affine = Affine {
        centre: &map,
        scale: &map,
        shift: &map,
        residual: Some(&x),
        clamp: Clamp::None,
    };
    let options = dense::ConvOptions::square(1, 1);
    let refused = dense::conv(Source::through(&x, &affine), &w, options);
    assert_refuses_range(refused, "residual", "given");
}
