//! What holds for every problem.

use super::case::{Operands, RESULTS, problem, problems};
use ghostlight_kernels::conv::depthwise::{
    DepthwiseProblem, grad_weight, grad_weight_and_bias, reference,
};
use ghostlight_tests::{
    GRADIENT, VALUE, assert_adjoint, assert_exact, assert_near, download, dtypes, integers, naive,
    reals, upload,
};
use proptest::prelude::*;

fn assert_integers_are_exact(problem: &DepthwiseProblem, seed: u64) {
    let operands = Operands::draw(problem, seed, integers);
    let wanted = operands.reference(problem);
    for dtype in dtypes() {
        let got = operands.run(problem, dtype);
        for i in 0..4 {
            assert_exact(RESULTS[i], &got[i], &wanted[i]);
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(12))]

    #[test]
    fn integers_give_exactly_what_the_reference_gives(problem in problems(), seed: u32) {
        assert_integers_are_exact(&problem, seed.into());
    }

    #[test]
    fn reals_differ_from_the_reference_by_no_more_than_rounding(problem in problems(), seed: u32) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        let wanted = operands.reference(&problem);
        let magnitude = operands.abs().reference(&problem);
        let taps = problem.kernel[0] * problem.kernel[1];
        let pixels = problem.batch * problem.output()[0] * problem.output()[1];
        let terms = [taps + 1, taps * problem.multiplier, pixels, pixels];
        for dtype in dtypes() {
            let got = operands.run(&problem, dtype);
            for (i, factor) in [VALUE, GRADIENT, GRADIENT, GRADIENT].into_iter().enumerate() {
                let units = factor * naive(terms[i]);
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], units);
            }
        }
    }

    #[test]
    fn the_gradients_are_adjoints_of_the_convolution(problem in problems(), seed: u32) {
        let mut operands = Operands::draw(&problem, seed.into(), reals);
        operands.b.fill(0.0);
        let Operands { x, w, g, .. } = &operands;
        let bare = operands.abs();
        let magnitude: f64 = reference::forward(&problem, &bare.x, &bare.w, None)
            .iter()
            .zip(&bare.g)
            .map(|(y, g)| y * g)
            .sum();
        for dtype in dtypes() {
            let [y, grad_x, grad_w, _] = operands.run(&problem, dtype).map(|t| download(&t));
            assert_adjoint("<f(x, w), g> = <x, grad_input(g)>", dtype, (&y, g), (x, &grad_x), magnitude);
            assert_adjoint("<f(x, w), g> = <w, grad_weight(g)>", dtype, (&y, g), (w, &grad_w), magnitude);
        }
    }
}

#[test]
fn many_partial_sums_give_the_weights_gradient_alone_and_beside_the_biass() {
    // Enough rows for more partial sums than one unit adds up, in vectors of one, two and four.
    for channels in [3, 6, 12] {
        let problem = problem([3, 45, 20], [3, 3], [channels, 1], [1, 1], [1, 1], [1; 4]);
        let operands = Operands::draw(&problem, 5, integers);
        let wanted = operands.reference(&problem);
        for dtype in dtypes() {
            let x = upload(&operands.x, &problem.input_shape(), dtype);
            let w = upload(&operands.w, &problem.weight_shape(), dtype);
            let g = upload(&operands.g, &problem.output_shape(), dtype);
            let alone = grad_weight(&x, &w, &g, problem.options).unwrap();
            let [beside, bias] = grad_weight_and_bias(&x, &w, &g, problem.options).unwrap();
            assert_exact("alone", &alone, &wanted[2]);
            assert_exact("beside the bias's", &beside, &wanted[2]);
            assert_exact("the bias's", &bias, &wanted[3]);
        }
    }
}

#[test]
fn corners_give_exactly_what_the_reference_gives() {
    let one = [1, 1];
    let corners = [
        ("one pixel", problem([1, 1, 1], one, one, one, one, [0; 4])),
        (
            "one pixel under a padded 7x7",
            problem([2, 1, 1], [7, 7], [10, 1], [2, 2], one, [3; 4]),
        ),
        (
            "one column",
            problem([2, 19, 1], [3, 3], [24, 1], one, one, [1; 4]),
        ),
        (
            "one row",
            problem([2, 1, 37], [3, 5], [16, 1], [1, 2], one, [1, 1, 2, 2]),
        ),
        (
            "one output",
            problem([3, 4, 5], [4, 5], [32, 1], [3, 1], one, [0; 4]),
        ),
        (
            "one pixel past a tile",
            problem([1, 9, 9], [3, 3], [16, 1], one, one, [1; 4]),
        ),
        (
            "one pixel past four tiles",
            problem([1, 17, 33], [3, 3], [36, 1], one, one, [1; 4]),
        ),
        (
            "an odd side at stride 2",
            problem([2, 15, 13], [3, 3], [20, 1], [2, 2], one, [1; 4]),
        ),
        (
            "padding as TensorFlow pads",
            problem([1, 14, 14], [3, 3], [12, 1], [2, 2], one, [0, 1, 0, 1]),
        ),
        (
            "padding on one side alone, to the window's edge",
            problem([1, 6, 7], [5, 4], [3, 1], [1, 3], one, [4, 0, 0, 3]),
        ),
        (
            "a dilated window with padding past the image",
            problem([2, 3, 4], [3, 3], [16, 1], one, [6, 5], [12, 12, 10, 10]),
        ),
        (
            "stride and dilation with a common divisor",
            problem([1, 23, 29], [3, 5], [10, 1], [4, 6], [6, 4], [3, 2, 7, 1]),
        ),
        (
            "a stride past the window",
            problem([2, 14, 11], [2, 3], [10, 1], [5, 4], one, [0; 4]),
        ),
        (
            "a stride past the image",
            problem([2, 5, 5], [3, 3], [8, 1], [9, 1024], one, [1; 4]),
        ),
        (
            "a shortcut",
            problem([2, 8, 7], one, [16, 1], [2, 2], one, [0; 4]),
        ),
        (
            "more rows than partial sums",
            problem([13, 24, 3], [3, 3], [3, 1], one, one, [1; 4]),
        ),
        (
            "a pixel of 50 vectors of 4",
            problem([2, 9, 11], [3, 3], [200, 1], one, one, [1; 4]),
        ),
        (
            "pixels that are whole lines",
            problem([2, 15, 16], [3, 5], [64, 1], one, one, [1, 1, 2, 2]),
        ),
        (
            "more rows than units of a cube",
            problem([5, 61, 9], one, [6, 1], one, one, [0; 4]),
        ),
        (
            "a row of many tiles and a rest",
            problem([1, 3, 1501], [3, 3], [4, 1], one, one, [1; 4]),
        ),
        (
            "a long row output by output",
            problem([1, 4, 700], [3, 3], [8, 1], [1, 3], one, [1; 4]),
        ),
        (
            "a kernel row of 27 taps",
            problem([1, 5, 40], [2, 27], [8, 1], one, one, [1, 0, 13, 13]),
        ),
        (
            "a kernel row of 13 taps at stride 2",
            problem([1, 6, 50], [3, 13], [8, 1], [1, 2], one, [1, 1, 6, 6]),
        ),
        (
            "the largest kernel",
            problem([1, 33, 5], [31, 31], [3, 1], one, one, [15; 4]),
        ),
        (
            "the largest kernel at stride 2",
            problem([1, 9, 40], [31, 31], [2, 1], [2, 2], one, [15; 4]),
        ),
        (
            "a Ghost module of ratio 3",
            problem([2, 9, 10], [3, 3], [12, 2], one, one, [1; 4]),
        ),
        (
            "a Ghost module of ratio 4",
            problem([2, 9, 10], [3, 3], [10, 3], one, one, [1; 4]),
        ),
        (
            "many outputs for one channel",
            problem([2, 9, 10], [3, 3], [1, 40], [2, 2], one, [1; 4]),
        ),
        (
            "an empty batch",
            problem([0, 8, 8], [3, 3], [16, 2], one, one, [1; 4]),
        ),
        (
            "no pixel but padding",
            problem([2, 0, 4], [3, 3], [3, 1], one, one, [2, 1, 1, 1]),
        ),
        (
            "no column but padding",
            problem([2, 4, 0], [3, 3], [16, 2], [2, 1], one, [1, 1, 2, 2]),
        ),
    ];
    for (name, problem) in corners {
        println!("{name}");
        assert_integers_are_exact(&problem, 7);
    }
}
