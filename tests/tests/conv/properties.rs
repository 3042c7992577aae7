//! What holds for every problem.

use super::case::{Operands, RESULTS, problem, problems};
use ghostlight_kernels::DType;
use ghostlight_kernels::conv::dense::{self, ConvProblem, reference};
use ghostlight_kernels::pointwise::add;
use ghostlight_tests::{
    GRADIENT, VALUE, assert_adjoint, assert_exact, assert_near, assert_same_bits, download, dtypes,
    integers, naive, reals, upload,
};
use proptest::prelude::*;

fn assert_integers_are_exact(problem: &ConvProblem, seed: u64) {
    let operands = Operands::draw(problem, seed, integers);
    let wanted = operands.reference(problem);
    for dtype in dtypes() {
        let got = operands.run(problem, dtype);
        for i in 0..3 {
            assert_exact(RESULTS[i], &got[i], &wanted[i]);
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(32))]

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
        let terms = [taps * problem.in_channels, taps * problem.out_channels, pixels];
        for dtype in dtypes() {
            let got = operands.run(&problem, dtype);
            for (i, factor) in [VALUE, GRADIENT, GRADIENT].into_iter().enumerate() {
                let units = factor * naive(terms[i]);
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], units);
            }
        }
    }

    #[test]
    fn both_gradients_are_adjoints_of_the_convolution(problem in problems(), seed: u32) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        let Operands { x, w, g } = &operands;
        let bare = operands.abs();
        let magnitude: f64 = reference::forward(&problem, &bare.x, &bare.w)
            .iter()
            .zip(&bare.g)
            .map(|(y, g)| y * g)
            .sum();
        for dtype in dtypes() {
            let [y, grad_x, grad_w] = operands.run(&problem, dtype).map(|t| download(&t));
            assert_adjoint("<conv(x, w), g> = <x, grad_input(g)>", dtype, (&y, g), (x, &grad_x), magnitude);
            assert_adjoint("<conv(x, w), g> = <w, grad_weight(g)>", dtype, (&y, g), (w, &grad_w), magnitude);
        }
    }
}

#[test]
fn a_gradient_added_in_registers_has_the_bits_of_the_sum_in_its_place_and_beside_it() {
    // Blocks of 1 to 4 vectors, channels that overlap, phases of a stride, a matrix product, and pixels past the last tile.
    for (channels, kernel, stride) in [
        ([16, 16], 3, 1),
        ([32, 24], 3, 2),
        ([48, 16], 3, 1),
        ([64, 16], 3, 1),
        ([80, 3], 3, 1),
        ([24, 16], 3, 1),
        ([10, 16], 1, 2),
        ([32, 16], 1, 1),
    ] {
        let problem = problem(
            [2, 9, 13],
            [kernel; 2],
            channels,
            [stride; 2],
            [kernel / 2; 2],
        );
        let Operands { x, w, g } = Operands::draw(&problem, 3, reals);
        let [x, plus] = [x, reals(9, problem.input_shape().iter().product())]
            .map(|values| upload(&values, &problem.input_shape(), DType::F32));
        let w = upload(&w, &problem.weight_shape(), DType::F32);
        let g = upload(&g, &problem.output_shape(), DType::F32);
        let grad = dense::grad_input(&x, &w, &g, problem.options).unwrap();
        let wanted = add(&grad, &plus).unwrap();
        for plus in [plus.clone(), plus] {
            let sum = dense::grad_input_plus(&x, &w, &g, problem.options, plus).unwrap();
            assert_same_bits("grad_input_plus", &sum, &wanted);
        }
    }
}

#[test]
fn corners_give_exactly_what_the_reference_gives() {
    let corners = [
        (
            "one pixel",
            problem([1, 1, 1], [1, 1], [1, 1], [1, 1], [0, 0]),
        ),
        (
            "one pixel under a padded 7x7",
            problem([2, 1, 1], [7, 7], [3, 10], [2, 2], [3, 3]),
        ),
        (
            "one column",
            problem([2, 19, 1], [3, 3], [10, 24], [1, 1], [1, 1]),
        ),
        (
            "one row",
            problem([2, 1, 37], [3, 5], [16, 16], [1, 2], [1, 2]),
        ),
        (
            "one output",
            problem([3, 4, 5], [4, 5], [24, 32], [3, 1], [0, 0]),
        ),
        (
            "one pixel past a tile",
            problem([1, 9, 17], [3, 3], [3, 16], [1, 1], [1, 1]),
        ),
        (
            "one pixel past four tiles",
            problem([1, 17, 33], [3, 3], [16, 32], [1, 1], [1, 1]),
        ),
        (
            "the stem of an ImageNet model",
            problem([1, 23, 22], [7, 7], [3, 48], [2, 2], [3, 3]),
        ),
        (
            "a stride past the kernel",
            problem([2, 14, 11], [2, 3], [10, 3], [5, 4], [0, 0]),
        ),
        (
            "a stride that leaves rows unread",
            problem([2, 12, 12], [3, 3], [16, 10], [4, 4], [0, 0]),
        ),
        (
            "a stride past the image",
            problem([2, 5, 5], [3, 3], [4, 8], [9, 1024], [1, 1]),
        ),
        (
            "a padding to the kernel's edge",
            problem([1, 6, 4], [5, 4], [3, 16], [1, 3], [4, 3]),
        ),
        (
            "different axes",
            problem([2, 10, 21], [5, 1], [32, 24], [3, 2], [2, 0]),
        ),
        (
            "a shortcut",
            problem([2, 8, 7], [1, 1], [16, 32], [2, 2], [0, 0]),
        ),
        (
            "a matrix product",
            problem([3, 5, 7], [1, 1], [24, 10], [1, 1], [0, 0]),
        ),
        (
            "more blocks than partial sums",
            problem([13, 24, 3], [3, 3], [3, 10], [1, 1], [1, 1]),
        ),
        (
            "blocks that do not divide evenly",
            problem([33, 9, 4], [2, 2], [1, 16], [1, 1], [0, 0]),
        ),
        (
            "an empty batch",
            problem([0, 8, 8], [3, 3], [16, 32], [1, 1], [1, 1]),
        ),
        (
            "no pixel but padding",
            problem([2, 0, 4], [3, 3], [3, 16], [1, 1], [2, 1]),
        ),
        (
            "no column but padding",
            problem([2, 4, 0], [3, 3], [3, 16], [2, 1], [1, 2]),
        ),
        (
            "more channels than a tile, a weight deeper than a panel, pixels past a tile",
            problem([2, 5, 7], [3, 3], [70, 100], [1, 1], [1, 1]),
        ),
        (
            "many channels, a stride, an odd image",
            problem([3, 7, 6], [3, 2], [56, 132], [2, 3], [1, 0]),
        ),
        (
            "many channels over a row of more than one part",
            problem([1, 2, 150], [1, 3], [5, 72], [1, 1], [0, 1]),
        ),
        (
            "many channels, a stride past the kernel",
            problem([2, 9, 9], [2, 2], [72, 64], [4, 3], [0, 0]),
        ),
        (
            "many channels of small images, a batch that stacks do not divide",
            problem([11, 3, 3], [3, 3], [9, 64], [1, 1], [1, 1]),
        ),
        (
            "a kernel of 25 x 1",
            problem([1, 30, 2], [25, 1], [1, 2], [1, 1], [12, 0]),
        ),
        (
            "a kernel of 1 x 25",
            problem([1, 2, 30], [1, 25], [3, 16], [1, 1], [0, 12]),
        ),
    ];
    for (name, problem) in corners {
        println!("{name}");
        assert_integers_are_exact(&problem, 7);
    }
}
