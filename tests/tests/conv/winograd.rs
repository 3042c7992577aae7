//! Winograd's filtering and both its gradients, by an error budget of its own.

use super::case::{Operands, problem};
use ghostlight_kernels::conv::dense::{
    self, Affine, ConvOptions, ConvProblem, Strategy, reference, winograd,
};
use ghostlight_kernels::pointwise::add;
use ghostlight_kernels::{Clamp, DType, KernelError, Tensor, launch};
use ghostlight_tests::{
    Fingerprint, FusedConvolution, NOT_FINITE, assert_adjoint, assert_alike, assert_exact,
    assert_fused_is_composed, assert_near, assert_not_finite_passes_fused, assert_refuses_range,
    assert_same_bits, assert_same_bits_on_one_core, client, download, dtypes, integers, poison,
    reals, skipped, upload,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::Strategy as Draw;

const WAYS: [(Strategy, usize); 2] = [(Strategy::Winograd2, 2), (Strategy::Winograd4, 4)];
/// Those that this device has.
fn ways() -> impl Iterator<Item = (Strategy, usize)> {
    let on_cpu = launch::is_cpu(&client());
    if !on_cpu {
        skipped("conv", "Winograd's filtering is for CPUs");
    }
    WAYS.into_iter().filter(move |_| on_cpu)
}

/// Units of rounding of the magnitudes: 0.1 is seen of long sums, where roundings cancel, and more of those over a channel or two.
const BUDGET: f64 = 1.0;

/// The output and the gradients with respect to input and weight, on memory full of NaN.
fn run(way: Strategy, operands: &Operands, problem: &ConvProblem, dtype: DType) -> [Tensor; 3] {
    let x = upload(&operands.x, &problem.input_shape(), dtype);
    let w = upload(&operands.w, &problem.weight_shape(), dtype);
    let g = upload(&operands.g, &problem.output_shape(), dtype);
    poison(dtype, &[x.len(), w.len(), g.len()]);
    let options = problem.options;
    [
        dense::conv_by(way, &x, &w, options, None).unwrap(),
        dense::grad_input_by(way, &x, &w, &g, options, None).unwrap(),
        dense::grad_weight_by(way, &x, &w, &g, options).unwrap(),
    ]
}

fn magnitudes(operands: &Operands, problem: &ConvProblem, outputs: usize) -> [Vec<f64>; 3] {
    let Operands { x, w, g } = operands;
    let (back, flipped) = winograd::reference::transposed(problem, w);
    [
        winograd::reference::magnitude(problem, x, w, outputs),
        winograd::reference::magnitude(&back, g, &flipped, outputs),
        winograd::reference::weight_magnitude(problem, x, g, outputs),
    ]
}

/// Less than a vector of channels, one, and three that overlap. Each width is a kernel to compile.
const CHANNELS: [usize; 3] = [3, 16, 40];

/// Any padding, sides that tiles do not divide, empty batches.
fn problems(channels: &'static [usize]) -> impl Draw<Value = ConvProblem> {
    let axis = || {
        (0usize..=2).prop_flat_map(|padding| {
            let smallest = 3usize.saturating_sub(2 * padding);
            (
                Just(padding),
                prop_oneof![3 => smallest..smallest + 9, 1 => 12usize..20],
            )
        })
    };
    let channels = || prop::sample::select(channels);
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4];
    (batch, axis(), axis(), channels(), channels()).prop_map(|(batch, v, h, ci, co)| {
        let batch = if ci * co > 1000 { batch.min(1) } else { batch };
        problem([batch, v.1, h.1], [3, 3], [ci, co], [1, 1], [v.0, h.0])
    })
}

struct Fused(ConvProblem, Strategy, usize);

impl FusedConvolution for Fused {
    fn shapes(&self) -> [[usize; 4]; 3] {
        let problem = &self.0;
        [
            problem.input_shape(),
            problem.weight_shape(),
            problem.output_shape(),
        ]
    }

    fn products(&self) -> usize {
        self.0.in_channels
    }

    fn reference(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        reference::forward(&self.0, x, w)
    }

    fn magnitude(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        winograd::reference::magnitude(&self.0, x, w, self.2)
    }

    fn launch(&self, x: &Tensor, w: &Tensor, affine: &Affine) -> Result<Tensor, KernelError> {
        dense::conv_by(self.1, x, w, self.0.options, Some(affine))
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(16))]

    #[test]
    fn values_differ_from_the_reference_by_no_more_than_winograds_rounding(problem in problems(&CHANNELS), seed: u32) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        let wanted = operands.reference(&problem);
        for (way, outputs) in ways() {
            let magnitudes = magnitudes(&operands, &problem, outputs);
            for dtype in dtypes() {
                let got = run(way, &operands, &problem, dtype);
                for i in 0..3 {
                    assert_near(&format!("{way:?}"), &got[i], &wanted[i], &magnitudes[i], BUDGET);
                }
            }
        }
    }

    #[test]
    fn two_outputs_a_side_are_exact_for_integers(problem in problems(&CHANNELS), seed: u32) {
        let operands = Operands::draw(&problem, seed.into(), integers);
        let wanted = operands.reference(&problem);
        for (way, _) in ways().take(1) {
            for dtype in dtypes() {
                let got = run(way, &operands, &problem, dtype);
                for i in 0..3 {
                    assert_exact("Winograd2", &got[i], &wanted[i]);
                }
            }
        }
    }

    #[test]
    fn the_gradients_are_the_adjoints_of_the_convolution(problem in problems(&CHANNELS), seed: u32) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        for (way, outputs) in ways() {
            let magnitude = magnitudes(&operands, &problem, outputs)[0]
                .iter()
                .zip(&operands.g)
                .map(|(y, g)| y * g.abs())
                .sum();
            for dtype in dtypes() {
                let [y, grad_x, grad_w] = run(way, &operands, &problem, dtype).map(|t| download(&t));
                let output = (&y[..], &operands.g[..]);
                assert_adjoint("<conv(x), g> = <x, grad_input(g)>", dtype, output, (&operands.x, &grad_x), magnitude);
                assert_adjoint("<conv(x), g> = <w, grad_weight(g)>", dtype, output, (&operands.w, &grad_w), magnitude);
            }
        }
    }

    #[test]
    fn what_follows_is_applied_in_registers(
        problem in problems(&[40]),
        seed: u32,
        with_residual: bool,
        clamp in prop::sample::select(&Clamp::ALL[..]),
    ) {
        for (way, outputs) in ways() {
            assert_fused_is_composed(&Fused(problem, way, outputs), seed, with_residual, clamp);
        }
    }

    #[test]
    fn what_is_not_finite_passes_the_fused_relu_as_it_passes_the_composition(
        problem in problems(&[40]),
        seed: u32,
        operand in 0usize..5,
        place: Index,
        value in prop::sample::select(&NOT_FINITE[..]),
    ) {
        for (way, outputs) in ways() {
            assert_not_finite_passes_fused(&Fused(problem, way, outputs), seed, operand, place, value);
        }
    }

    #[test]
    fn what_is_not_finite_reaches_what_the_direct_sum_has_it_reach(
        problem in problems(&CHANNELS),
        seed: u32,
        operand in 0usize..3,
        place: Index,
        value in prop::sample::select(&NOT_FINITE[..]),
    ) {
        let mut operands = Operands::draw(&problem, seed.into(), reals);
        let spoiled = [&mut operands.x, &mut operands.w, &mut operands.g].into_iter().nth(operand).unwrap();
        if !spoiled.is_empty() {
            *place.get_mut(spoiled) = value;
        }
        for dtype in dtypes() {
            let wanted = run(Strategy::Direct, &operands, &problem, dtype).map(|t| download(&t));
            for (way, _) in ways() {
                let got = run(way, &operands, &problem, dtype);
                for i in 0..3 {
                    assert_alike(&format!("{way:?}"), &got[i], &wanted[i]);
                }
            }
        }
    }
}

#[test]
fn numbers_near_the_end_of_the_range_give_what_the_direct_sum_gives() {
    let problem = problem([1, 9, 11], [3, 3], [20, 24], [1, 1], [1, 1]);
    let len = |shape: [usize; 4]| shape.iter().product::<usize>();
    // Each sum is finite, or overflows as it does directly; what a transform makes of it in between does not count.
    for scale in [1e37f32, 1e38, 3e38] {
        let alternating = |count: usize| -> Vec<f64> {
            let sign = |i: usize| if i % 3 == 1 { -1.0 } else { 1.0 };
            (0..count).map(|i| sign(i) * f64::from(scale)).collect()
        };
        let small = |seed, count| -> Vec<f64> {
            reals(seed, count)
                .iter()
                .map(|v| f64::from((v / 300.0) as f32))
                .collect()
        };
        let [x, w, g] = [
            problem.input_shape(),
            problem.weight_shape(),
            problem.output_shape(),
        ];
        let of_weight = Operands {
            x: alternating(len(x)),
            w: small(4, len(w)),
            g: alternating(len(g)),
        };
        let of_grad = Operands {
            g: small(5, len(g)),
            ..of_weight.clone()
        };
        for (operands, results) in [(of_weight, [0, 1]), (of_grad, [0, 2])] {
            let by = |way| run(way, &operands, &problem, DType::F32);
            let wanted = by(Strategy::Direct).map(|t| download(&t));
            for i in results {
                assert!(wanted[i].iter().any(|v| v.is_finite()), "{scale:e}");
                for (way, _) in ways() {
                    assert_alike(&format!("{way:?} at {scale:e}"), &by(way)[i], &wanted[i]);
                }
            }
        }
    }
}

#[test]
fn four_outputs_a_side_err_no_more_than_three_times_as_much_as_the_direct_sum() {
    let problem = problem([1, 16, 16], [3, 3], [128, 32], [1, 1], [1, 1]);
    let operands = Operands::draw(&problem, 11, reals);
    let wanted = operands.reference(&problem);
    let error = |way| -> [f64; 3] {
        let got = run(way, &operands, &problem, DType::F32).map(|t| download(&t));
        let square = |i: usize| {
            let pairs = got[i].iter().zip(&wanted[i]);
            pairs.map(|(g, w)| (g - w).powi(2)).sum::<f64>().sqrt()
        };
        [square(0), square(1), square(2)]
    };
    let direct = error(Strategy::Direct);
    for ((way, _), most) in ways().zip([1.5, 3.0]) {
        let error = error(way);
        for i in 0..3 {
            let ratio = error[i] / direct[i];
            println!("{way:?}, {i}: {ratio}");
            assert!(
                ratio <= most,
                "{way:?}, {i}: {ratio} times the direct error"
            );
        }
    }
}

fn several() -> [ConvProblem; 4] {
    [
        // More tiles than a block, more groups than one, parts of the channels for each core, and vectors that overlap.
        problem([5, 14, 13], [3, 3], [16, 80], [1, 1], [1, 1]),
        problem([1, 5, 6], [3, 3], [24, 132], [1, 1], [0, 2]),
        problem([30, 9, 9], [3, 3], [3, 40], [1, 1], [1, 1]),
        problem([3, 2, 2], [3, 3], [70, 10], [1, 1], [1, 1]),
    ]
}

#[test]
fn a_gradient_added_in_registers_has_the_bits_of_the_sum_in_its_place_and_beside_it() {
    for problem in several() {
        let operands = Operands::draw(&problem, 3, reals);
        let upload = |values: &[f64], shape: [usize; 4]| upload(values, &shape, DType::F32);
        let x = upload(&operands.x, problem.input_shape());
        let w = upload(&operands.w, problem.weight_shape());
        let g = upload(&operands.g, problem.output_shape());
        let plus = upload(&reals(9, x.len()), problem.input_shape());
        for (way, _) in ways() {
            let by = |plus| dense::grad_input_by(way, &x, &w, &g, problem.options, plus).unwrap();
            let wanted = add(&by(None), &plus).unwrap();
            let beside = by(Some(plus.clone()));
            assert_same_bits("beside", &beside, &wanted);
            // Nobody else holds this copy: it may be overwritten.
            let alone = upload(&download(&plus), problem.input_shape());
            assert_same_bits("in its place", &by(Some(alone)), &wanted);
        }
    }
}

#[test]
fn the_bits_are_those_of_the_chosen_strategy_each_time_and_on_one_core() {
    if ways().next().is_none() {
        return;
    }
    let mut fingerprint = Fingerprint::default();
    // Two outputs a side for images of 2 x 2, four for larger ones, none for a pixel; that of the weight goes by all images together.
    let chosen = [
        ([5, 2, 2], Strategy::Winograd2, Strategy::Direct),
        ([2, 16, 15], Strategy::Winograd4, Strategy::Winograd2),
        ([9, 16, 15], Strategy::Winograd4, Strategy::Winograd4),
        ([3, 1, 1], Strategy::Direct, Strategy::Direct),
    ]
    .map(|(size, way, of_weight)| {
        (
            problem(size, [3, 3], [24, 65], [1, 1], [1, 1]),
            way,
            of_weight,
        )
    });
    let forced = several().map(|problem| (problem, Strategy::Winograd4, Strategy::Winograd4));
    for (i, (problem, way, of_weight)) in chosen.into_iter().chain(forced).enumerate() {
        let operands = Operands::draw(&problem, 6, reals);
        for dtype in dtypes() {
            let mut wanted = run(way, &operands, &problem, dtype);
            if of_weight != way {
                wanted[2] = run(of_weight, &operands, &problem, dtype)[2].clone();
            }
            let again = if i < chosen.len() {
                Strategy::Auto
            } else {
                way
            };
            for _ in 0..3 {
                let got = run(again, &operands, &problem, dtype);
                for i in 0..3 {
                    assert_same_bits("again", &got[i], &wanted[i]);
                }
            }
            wanted.iter().for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core(
        "winograd::the_bits_are_those_of_the_chosen_strategy_each_time_and_on_one_core",
        &fingerprint,
    );
}

#[test]
fn an_image_has_the_same_bits_alone_and_in_a_batch() {
    for side in [1, 2, 4, 9] {
        let batch = problem([5, side, side], [3, 3], [20, 24], [1, 1], [1, 1]);
        let operands = Operands::draw(&batch, 12, reals);
        let together = run(Strategy::Auto, &operands, &batch, DType::F32).map(|t| download(&t));
        let [x, g] = [20, 24].map(|channels| side * side * channels);
        for image in 0..5 {
            let one = Operands {
                x: operands.x[image * x..][..x].to_vec(),
                w: operands.w.clone(),
                g: operands.g[image * g..][..g].to_vec(),
            };
            let problem = ConvProblem { batch: 1, ..batch };
            let alone = run(Strategy::Auto, &one, &problem, DType::F32).map(|t| download(&t));
            assert_eq!(alone[0], together[0][image * g..][..g], "forward, {side}");
            assert_eq!(alone[1], together[1][image * x..][..x], "gradient, {side}");
        }
    }
}

#[test]
fn an_output_that_is_a_window_gets_its_channels_and_no_other() {
    let problem = problem([2, 17, 16], [3, 3], [24, 72], [1, 1], [1, 1]);
    let operands = Operands::draw(&problem, 8, reals);
    let x = upload(&operands.x, &problem.input_shape(), DType::F32);
    let w = upload(&operands.w, &problem.weight_shape(), DType::F32);
    let map = |value: f64| upload(&vec![value; 72], &[72], DType::F32);
    let (zeros, ones) = (map(0.0), map(1.0));
    let affine = Affine {
        centre: &zeros,
        scale: &ones,
        shift: &zeros,
        residual: None,
        clamp: Clamp::None,
    };
    let wanted = dense::conv_affine(&x, &w, problem.options, &affine).unwrap();
    let whole = upload(&vec![5.0; 2 * 17 * 16 * 80], &[2, 17, 16, 80], DType::F32);
    let window = whole.window(3, 72).unwrap();
    dense::conv_affine_into(&x, &w, problem.options, &affine, &window).unwrap();
    let (whole, wanted) = (download(&whole), download(&wanted));
    for (pixel, wanted) in whole.chunks(80).zip(wanted.chunks(72)) {
        assert_eq!(&pixel[3..75], wanted);
        assert!(pixel[..3].iter().chain(&pixel[75..]).all(|&v| v == 5.0));
    }
}

#[test]
fn a_problem_that_winograd_does_not_compute_is_refused_by_name() {
    let of = |shape: &[usize]| Tensor::empty(&client(), shape, DType::F32);
    let x = of(&[1, 8, 8, 4]);
    for (w, stride) in [([3, 3, 4, 4], 2), ([5, 3, 4, 4], 1), ([1, 1, 4, 4], 1)] {
        let (w, options) = (of(&w), ConvOptions::square(stride, 0));
        for (way, _) in WAYS {
            let named = format!("{way:?}");
            let refused = dense::conv_by(way, &x, &w, options, None);
            assert_refuses_range(refused, "strategy", &named);
            let y = dense::conv_by(Strategy::Direct, &x, &w, options, None).unwrap();
            let refused = dense::grad_input_by(way, &x, &w, &y, options, None);
            assert_refuses_range(refused, "strategy", &named);
            let refused = dense::grad_weight_by(way, &x, &w, &y, options);
            assert_refuses_range(refused, "strategy", &named);
        }
    }
}
