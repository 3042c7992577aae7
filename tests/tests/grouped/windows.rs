//! Input and gradient as channel windows of larger tensors.

use super::case::{Operands, RESULTS, all, problem};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::grouped::{self, Affine};
use ghostlight_tests::{Windowed, assert_same_bits, dtypes, reals, upload};

#[test]
fn windows_with_nan_around_them_give_the_bits_of_whole_tensors() {
    let problems = [
        problem([2, 7, 9], [3, 3], [8, 4, 4], [1, 1], [1, 1]),
        problem([2, 7, 9], [3, 3], [3, 12, 12], [2, 1], [1, 1]),
        problem([2, 6, 5], [3, 3], [2, 24, 36], [1, 2], [1, 1]),
        problem([2, 4, 5], [1, 1], [5, 3, 1], [1, 1], [0, 0]),
    ];
    for problem in problems {
        let operands = Operands::draw(&problem, 11, reals);
        for dtype in dtypes() {
            let w = upload(&operands.w, &problem.weight_shape(), dtype);
            let whole = operands.run(&problem, dtype);
            for (before, after) in [(1, 0), (0, 5), (16, 16), (3, 2)] {
                let x = Windowed::of(&operands.x, &problem.input_shape(), dtype, before, after);
                let g = Windowed::of(&operands.g, &problem.output_shape(), dtype, after, before);
                let got = all(&problem, &x.window, &w, &g.window);
                for i in 0..3 {
                    assert_same_bits(RESULTS[i], &got[i], &whole[i]);
                }
                x.assert_gaps_untouched("input");
                g.assert_gaps_untouched("grad");
                let ones = upload(
                    &vec![1.0; problem.out_channels],
                    &[problem.out_channels],
                    dtype,
                );
                let residual = upload(&operands.g, &problem.output_shape(), dtype);
                let affine = |residual| Affine {
                    centre: &ones,
                    scale: &ones,
                    shift: &ones,
                    residual: Some(residual),
                    clamp: Clamp::Relu,
                };
                let apply = |x, residual| {
                    let (groups, options) = (problem.groups, problem.options);
                    grouped::conv_affine(x, &w, groups, options, &affine(residual)).unwrap()
                };
                let x_whole = upload(&operands.x, &problem.input_shape(), dtype);
                let (a, b) = (apply(&x.window, &g.window), apply(&x_whole, &residual));
                assert_same_bits("conv_affine", &a, &b);
            }
        }
    }
}
