//! Windows inside of larger tensors, and what is applied to the values in registers.

use super::case::{Operands, problem};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::dense::Affine;
use ghostlight_kernels::conv::depthwise::{self, DepthwiseProblem, reference};
use ghostlight_kernels::pointwise::activation::{Activation, reference::value as activated};
use ghostlight_tests::{
    NOT_FINITE, Windowed, assert_alike, assert_exact, assert_launches, dtypes, integers, poison,
    upload,
};

fn several() -> [DepthwiseProblem; 5] {
    let one = [1, 1];
    [
        problem([2, 9, 13], [3, 3], [36, 1], one, one, [1; 4]),
        problem([1, 11, 9], [3, 3], [10, 1], [2, 2], one, [1, 0, 0, 1]),
        problem([2, 7, 8], [3, 3], [12, 2], one, one, [1; 4]),
        problem([1, 7, 8], [3, 3], [10, 3], one, one, [1; 4]),
        problem([1, 12, 12], [9, 11], [20, 1], one, [2, 1], [8, 8, 5, 5]),
    ]
}

#[test]
fn windows_between_channels_of_nan_give_what_whole_tensors_give() {
    for problem in several() {
        let operands = Operands::draw(&problem, 11, integers);
        let wanted = operands.reference(&problem);
        for dtype in dtypes() {
            let x = Windowed::of(&operands.x, &problem.input_shape(), dtype, 5, 3);
            let g = Windowed::of(&operands.g, &problem.output_shape(), dtype, 1, 16);
            let out = Windowed::room(&problem.output_shape(), dtype, 7, 2);
            let w = upload(&operands.w, &problem.weight_shape(), dtype);
            let b = upload(&operands.b, &[problem.out_channels()], dtype);
            poison(dtype, &[operands.x.len(), operands.g.len()]);
            let options = problem.options;
            depthwise::depthwise_into(&x.window, &w, Some(&b), options, &out.window).unwrap();
            assert_exact("depthwise_into", &out.window, &wanted[0]);
            out.assert_gaps_untouched("depthwise_into");
            let grad_x = depthwise::grad_input(&x.window, &w, &g.window, options).unwrap();
            assert_exact("grad_input", &grad_x, &wanted[1]);
            let grad_w = depthwise::grad_weight(&x.window, &w, &g.window, options).unwrap();
            assert_exact("grad_weight", &grad_w, &wanted[2]);
        }
    }
}

#[test]
fn a_ghost_module_writes_its_cheap_half_beside_the_half_it_reads() {
    let problem = problem([2, 9, 10], [3, 3], [18, 1], [1, 1], [1, 1], [1; 4]);
    let operands = Operands::draw(&problem, 12, integers);
    let wanted = reference::forward(&problem, &operands.x, &operands.w, None);
    for dtype in dtypes() {
        let module = Windowed::of(&operands.x, &problem.input_shape(), dtype, 0, 18);
        // The module's own tensor, of which both halves are windows.
        let whole = upload(&[0.0; 2 * 9 * 10 * 36], &[2, 9, 10, 36], dtype);
        let (primary, cheap) = (whole.window(0, 18).unwrap(), whole.window(18, 18).unwrap());
        let w = upload(&operands.w, &problem.weight_shape(), dtype);
        let identity = vec![1.0; 18];
        let identity = upload(&identity, &[1, 1, 18], dtype);
        let plain = depthwise::DepthwiseOptions::square(1, 0);
        depthwise::depthwise_into(&module.window, &identity, None, plain, &primary).unwrap();
        depthwise::depthwise_into(&primary, &w, None, problem.options, &cheap).unwrap();
        assert_exact("the primary half", &primary, &operands.x);
        assert_exact("the cheap half", &cheap, &wanted);
    }
}

#[test]
fn the_affine_map_the_residual_and_the_relu_follow_in_their_order() {
    for problem in several() {
        let operands = Operands::draw(&problem, 13, integers);
        let channels = problem.out_channels();
        let [centre, scale, shift] = [1, 2, 3].map(|seed| integers(seed, channels));
        let bare = reference::forward(&problem, &operands.x, &operands.w, None);
        for (with_residual, clamp) in [
            (false, Clamp::None),
            (true, Clamp::Relu),
            (false, Clamp::Relu6),
        ] {
            let wanted: Vec<f64> = (0..bare.len())
                .map(|i| {
                    let c = i % channels;
                    let residual = if with_residual { operands.g[i] } else { 0.0 };
                    let value = (bare[i] - centre[c]) * scale[c] + shift[c] + residual;
                    activated(value, clamp.activation())
                })
                .collect();
            for dtype in dtypes() {
                let vector = |values: &[f64]| upload(values, &[channels], dtype);
                let x = upload(&operands.x, &problem.input_shape(), dtype);
                let w = upload(&operands.w, &problem.weight_shape(), dtype);
                let residual = Windowed::of(&operands.g, &problem.output_shape(), dtype, 3, 1);
                let out = Windowed::room(&problem.output_shape(), dtype, 2, 2);
                let (centre, scale, shift) = (vector(&centre), vector(&scale), vector(&shift));
                let affine = Affine {
                    centre: &centre,
                    scale: &scale,
                    shift: &shift,
                    residual: with_residual.then_some(&residual.window),
                    clamp,
                };
                depthwise::depthwise_affine_into(&x, &w, problem.options, &affine, &out.window)
                    .unwrap();
                assert_exact("depthwise_affine_into", &out.window, &wanted);
                out.assert_gaps_untouched("depthwise_affine_into");
            }
        }
    }
}

#[test]
fn what_is_not_finite_passes_the_fused_relu_as_it_passes_the_composition() {
    for problem in several() {
        let channels = problem.out_channels();
        for value in NOT_FINITE {
            for operand in 0..5 {
                let mut operands = Operands::draw(&problem, 13, integers);
                let [mut centre, mut scale, mut shift] =
                    [1, 2, 3].map(|seed| integers(seed, channels));
                let spoiled = match operand {
                    0 => &mut operands.x,
                    1 => &mut operands.g,
                    2 => &mut centre,
                    3 => &mut scale,
                    _ => &mut shift,
                };
                let last = spoiled.len() - 1;
                spoiled[last] = value;
                let bare = reference::forward(&problem, &operands.x, &operands.w, None);
                let wanted: Vec<f64> = (0..bare.len())
                    .map(|i| {
                        let c = i % channels;
                        let value = (bare[i] - centre[c]) * scale[c] + shift[c] + operands.g[i];
                        activated(value, Activation::Relu)
                    })
                    .collect();
                for dtype in dtypes() {
                    let vector = |values: &[f64]| upload(values, &[channels], dtype);
                    let x = upload(&operands.x, &problem.input_shape(), dtype);
                    let w = upload(&operands.w, &problem.weight_shape(), dtype);
                    let residual = upload(&operands.g, &problem.output_shape(), dtype);
                    let out = Windowed::room(&problem.output_shape(), dtype, 2, 2);
                    let affine = Affine {
                        centre: &vector(&centre),
                        scale: &vector(&scale),
                        shift: &vector(&shift),
                        residual: Some(&residual),
                        clamp: Clamp::Relu,
                    };
                    depthwise::depthwise_affine_into(&x, &w, problem.options, &affine, &out.window)
                        .unwrap();
                    assert_alike("depthwise_affine_into", &out.window, &wanted);
                }
            }
        }
    }
}

#[test]
fn another_gradient_is_added_to_the_inputs() {
    for problem in several() {
        let operands = Operands::draw(&problem, 14, integers);
        let more = integers(15, operands.x.len());
        let bare = reference::grad_input(&problem, &operands.w, &operands.g);
        let wanted: Vec<f64> = bare.iter().zip(&more).map(|(a, b)| a + b).collect();
        for dtype in dtypes() {
            let x = upload(&operands.x, &problem.input_shape(), dtype);
            let w = upload(&operands.w, &problem.weight_shape(), dtype);
            let g = upload(&operands.g, &problem.output_shape(), dtype);
            let plus = Windowed::of(&more, &problem.input_shape(), dtype, 0, 9);
            let got = depthwise::grad_input_plus(&x, &w, &g, problem.options, &plus.window);
            assert_exact("grad_input_plus", &got.unwrap(), &wanted);
        }
    }
}

#[test]
fn every_phase_takes_the_launches_it_says() {
    for problem in several() {
        let operands = Operands::draw(&problem, 16, integers);
        let dtype = dtypes()[0];
        let x = upload(&operands.x, &problem.input_shape(), dtype);
        let w = upload(&operands.w, &problem.weight_shape(), dtype);
        let g = upload(&operands.g, &problem.output_shape(), dtype);
        let o = problem.options;
        assert_launches("forward", 1, || {
            depthwise::depthwise(&x, &w, None, o).unwrap()
        });
        assert_launches("grad_input", 1, || {
            depthwise::grad_input(&x, &w, &g, o).unwrap()
        });
        assert_launches("grad_input_plus", 1, || {
            depthwise::grad_input_plus(&x, &w, &g, o, &x).unwrap()
        });
        assert_launches("grad_weight", 2, || {
            depthwise::grad_weight(&x, &w, &g, o).unwrap()
        });
        assert_launches("grad_weight_and_bias", 2, || {
            depthwise::grad_weight_and_bias(&x, &w, &g, o).unwrap()
        });
    }
}
