//! What holds for every problem.

use super::case::{Operands, RESULTS, problem, problems};
use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck, values};
use ghostlight_autodiff::ops::GroupedConv;
use ghostlight_autodiff::{DType, Tensor, Var};
use ghostlight_kernels::conv::grouped::{ConvOptions, GroupedProblem};
use ghostlight_tests::{
    GRADIENT, VALUE, assert_adjoint, assert_exact, assert_near, client, download, dtypes, integers,
    naive, reals,
};
use proptest::prelude::*;

fn assert_integers_are_exact(problem: &GroupedProblem, seed: u64, dtypes: &[DType]) {
    let operands = Operands::draw(problem, seed, integers);
    let wanted = operands.reference(problem);
    for &dtype in dtypes {
        let got = operands.run(problem, dtype);
        for i in 0..3 {
            assert_exact(RESULTS[i], &got[i], &wanted[i]);
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(10))]

    #[test]
    fn integers_give_exactly_what_the_reference_gives(problem in problems(), seed: u32) {
        assert_integers_are_exact(&problem, seed.into(), &dtypes());
    }

    #[test]
    fn reals_differ_from_the_reference_by_no_more_than_rounding_and_gradients_are_adjoints(
        problem in problems(),
        seed: u32,
    ) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        let Operands { x, w, g } = &operands;
        let wanted = operands.reference(&problem);
        let bare = operands.abs();
        let magnitude = bare.reference(&problem);
        let taps = problem.kernel[0] * problem.kernel[1];
        let pixels = problem.batch * problem.output()[0] * problem.output()[1];
        let [group_in, group_out] = problem.group();
        let terms = [taps * group_in, taps * group_out, pixels];
        let all: f64 = magnitude[0].iter().zip(&bare.g).map(|(y, g)| y * g).sum();
        for dtype in dtypes() {
            let got = operands.run(&problem, dtype);
            for (i, factor) in [VALUE, GRADIENT, GRADIENT].into_iter().enumerate() {
                let units = factor * naive(terms[i]);
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], units);
            }
            let [y, grad_x, grad_w] = got.map(|t| download(&t));
            assert_adjoint("<conv(x, w), g> = <x, grad_input(g)>", dtype, (&y, g), (x, &grad_x), all);
            assert_adjoint("<conv(x, w), g> = <w, grad_weight(g)>", dtype, (&y, g), (w, &grad_w), all);
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(6))]

    #[test]
    fn the_gradient_on_the_tape_is_the_derivative_and_the_adjoint(
        [n, groups, group_in, group_out] in [1usize..3, 1usize..4, 1usize..4, 1usize..4],
        [h, w] in [3usize..6, 3usize..6],
        [kh, kw] in [1usize..4, 1usize..4],
        stride in [1usize..3, 1usize..3],
        same in any::<bool>(),
    ) {
        let client = client();
        let padding = if same { [kh / 2, kw / 2] } else { [0, 0] };
        let conv = GroupedConv { groups, options: ConvOptions { stride, padding } };
        let x = [n, h, w, groups * group_in];
        let weight = [kh, kw, group_in, groups * group_out];
        let draw = |seed, shape: [usize; 4]| (values(seed, shape.iter().product()), shape.to_vec());
        let inputs = [draw(1, x), draw(2, weight)];
        gradcheck(&client, &inputs, |tape, v| tape.apply(conv, &[&v[0], &v[1]]), GradcheckOptions::default())?;
        let constant = |seed, shape| {
            let (values, shape) = draw(seed, shape);
            Var::constant(Tensor::from_f64(&client, &values, &shape, DType::F64).unwrap())
        };
        let (fixed_x, fixed_weight) = (constant(3, x), constant(4, weight));
        adjointness(&client, &x, 5, |tape, x| tape.apply(conv, &[x, &fixed_weight]))?;
        adjointness(&client, &weight, 6, |tape, w| tape.apply(conv, &[&fixed_x, w]))?;
    }
}

#[test]
fn corners_give_exactly_what_the_reference_gives() {
    let corners = [
        (
            "one pixel",
            problem([1, 1, 1], [1, 1], [2, 1, 1], [1, 1], [0, 0]),
        ),
        (
            "one pixel under a padded 7x7",
            problem([2, 1, 1], [7, 7], [2, 3, 5], [2, 2], [3, 3]),
        ),
        (
            "one column",
            problem([2, 19, 1], [3, 3], [5, 12, 12], [1, 1], [1, 1]),
        ),
        (
            "one row",
            problem([2, 1, 37], [3, 5], [4, 4, 4], [1, 2], [1, 2]),
        ),
        (
            "one pixel past a tile",
            problem([1, 9, 17], [3, 3], [8, 8, 8], [1, 1], [1, 1]),
        ),
        (
            "a stride past the kernel",
            problem([2, 14, 11], [2, 3], [5, 2, 6], [5, 4], [0, 0]),
        ),
        (
            "a stride past the image",
            problem([2, 5, 5], [3, 3], [4, 2, 2], [9, 1024], [1, 1]),
        ),
        (
            "a padding to the kernel's edge",
            problem([1, 6, 4], [5, 4], [3, 6, 6], [1, 3], [4, 3]),
        ),
        (
            "different axes",
            problem([2, 10, 21], [5, 1], [2, 16, 12], [3, 2], [2, 0]),
        ),
        (
            "a matrix product in groups",
            problem([3, 5, 7], [1, 1], [4, 8, 10], [1, 1], [0, 0]),
        ),
        (
            "more blocks than partial sums",
            problem([13, 24, 3], [3, 3], [4, 4, 4], [1, 1], [1, 1]),
        ),
        (
            "more ranges than one, and partial sums as well",
            problem([2, 5, 9], [3, 3], [33, 8, 8], [1, 1], [1, 1]),
        ),
        (
            "a weight too heavy for partial sums",
            problem([1, 4, 4], [3, 3], [2, 120, 128], [1, 1], [1, 1]),
        ),
        (
            "168 channels a group",
            problem([1, 3, 4], [3, 3], [2, 168, 168], [1, 1], [1, 1]),
        ),
        (
            "an empty batch",
            problem([0, 8, 8], [3, 3], [2, 8, 8], [1, 1], [1, 1]),
        ),
        (
            "no pixel but padding",
            problem([2, 0, 4], [3, 3], [3, 1, 6], [1, 1], [2, 1]),
        ),
        (
            "no column but padding",
            problem([2, 4, 0], [3, 3], [4, 4, 4], [2, 1], [1, 2]),
        ),
        (
            "a kernel of 25 x 1",
            problem([1, 30, 2], [25, 1], [3, 2, 2], [1, 1], [12, 0]),
        ),
        (
            "a kernel of 1 x 25",
            problem([1, 2, 30], [1, 25], [6, 3, 3], [1, 1], [0, 12]),
        ),
    ];
    for (name, problem) in corners {
        println!("{name}");
        // Compiling their kernels is what these cost; the random problems come in both element types.
        assert_integers_are_exact(&problem, 7, &[DType::F32]);
    }
}
