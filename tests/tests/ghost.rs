//! The Ghost module: training and inference against the reference, both halves in windows, odd widths, launches and refusals.

use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::{Tape, Var, ops};
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::ghost::module::{self, Ghost, GhostProblem, Scales, reference};
use ghostlight_kernels::norm::batch_norm::{BatchNorm, reference::Layer};
use ghostlight_kernels::{Clamp, DType, Tensor};
use ghostlight_tests::{
    Fingerprint, NOT_FINITE, Windowed, assert_alike, assert_launches, assert_refuses_range,
    assert_refuses_shape, assert_same_bits, assert_same_bits_on_one_core, client, download, dtypes,
    poison, reals, upload,
};
use proptest::prelude::*;

const EPSILON: f64 = 1e-3;
const GRADIENTS: [&str; 7] = [
    "input",
    "primary",
    "gamma",
    "beta",
    "cheap",
    "cheap gamma",
    "cheap beta",
];

/// One module with its operands on the host; `m` intrinsic channels, ratio `s`, `n` of the `m s` channels kept.
#[derive(Clone, Debug)]
struct Case {
    image: [usize; 4],
    kernels: [usize; 2],
    m: usize,
    s: usize,
    n: usize,
    stride: usize,
    clamp: Clamp,
    seed: u64,
}

/// Gamma, beta, running mean and running variance.
type Norm = [Vec<f64>; 4];

impl Case {
    fn cheap(&self) -> usize {
        self.m * (self.s - 1)
    }

    fn options(&self) -> ConvOptions {
        ConvOptions::square(self.stride, self.kernels[0] / 2)
    }

    fn x(&self) -> Vec<f64> {
        reals(self.seed, self.image.iter().product())
    }

    fn weights(&self) -> [Vec<f64>; 2] {
        let [k, d] = self.kernels;
        [
            reals(self.seed + 1, k * k * self.image[3] * self.m),
            reals(self.seed + 2, d * d * self.cheap()),
        ]
    }

    fn norms(&self) -> [Norm; 2] {
        [(3, self.m), (9, self.cheap())].map(|(seed, channels)| {
            let draw = |i| reals(self.seed + seed + i, channels);
            let variance = draw(3).iter().map(|v| v.abs() + 0.5).collect();
            [draw(0), draw(1), draw(2), variance]
        })
    }

    fn layer<'a>(&self, norm: &'a Norm) -> Layer<'a> {
        Layer {
            gamma: &norm[0],
            beta: &norm[1],
            epsilon: EPSILON,
            residual: None,
            clamp: self.clamp,
        }
    }

    /// The same on a device; `run` gets the module, its problem and the image.
    fn on<T>(&self, dtype: DType, run: impl FnOnce(&Ghost, &GhostProblem, &Tensor) -> T) -> T {
        let [k, d] = self.kernels;
        let [primary, cheap] = self.weights();
        let primary = upload(&primary, &[k, k, self.image[3], self.m], dtype);
        let cheap = upload(&cheap, &[d, d, self.cheap()], dtype);
        let [primary_norm, cheap_norm] = self.norms().map(|norm| {
            let [gamma, beta, running_mean, running_var] =
                norm.map(|values| upload(&values, &[values.len()], dtype));
            BatchNorm {
                gamma,
                beta,
                running_mean,
                running_var,
                epsilon: EPSILON,
                momentum: 0.1,
            }
        });
        let ghost = Ghost {
            primary: &primary,
            primary_norm: &primary_norm,
            cheap: &cheap,
            cheap_norm: &cheap_norm,
            options: self.options(),
            channels: self.n,
            clamp: self.clamp,
        };
        let x = upload(&self.x(), &self.image, dtype);
        let problem = GhostProblem::new(&x, &ghost).unwrap();
        poison(dtype, &[x.len(), problem.output_shape().iter().product()]);
        run(&ghost, &problem, &x)
    }

    fn problem(&self) -> GhostProblem {
        self.on(DType::F32, |_, problem, _| *problem)
    }

    fn reference<T>(&self, run: impl FnOnce(&reference::Weights) -> T) -> T {
        let ([primary, cheap], [first, second]) = (self.weights(), self.norms());
        run(&reference::Weights {
            primary: &primary,
            primary_norm: self.layer(&first),
            cheap: &cheap,
            cheap_norm: self.layer(&second),
        })
    }

    fn grad(&self) -> Vec<f64> {
        reals(
            self.seed + 20,
            self.problem().output_shape().iter().product(),
        )
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let image = (1usize..4, 2usize..9, 2usize..9, 1usize..30).prop_map(|(n, h, w, c)| [n, h, w, c]);
    let kernels = prop::sample::select(&[[1usize, 3], [1, 5], [3, 3], [1, 1]][..]);
    (
        image,
        kernels,
        1usize..28,
        2usize..4,
        1usize..3,
        prop::sample::select(&Clamp::ALL[..]),
        any::<u32>(),
    )
        .prop_flat_map(|(image, kernels, m, s, stride, clamp, seed)| {
            (m + 1..=m * s).prop_map(move |n| Case {
                image,
                kernels,
                m,
                s,
                n,
                stride,
                clamp,
                seed: seed.into(),
            })
        })
}

/// Asserts that `got` is `wanted` to `relative` of the largest value wanted, or of 1 if that is smaller.
fn assert_close(what: &str, got: &Tensor, wanted: &[f64], relative: f64) {
    let largest = wanted.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
    let got = download(got);
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (g - w).abs() <= relative * largest,
            "{what}, element {i}: {g}, wanted {w}"
        );
    }
}

fn rounding(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 2e-5 }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(24))]

    #[test]
    fn training_gives_what_the_reference_gives(case in cases()) {
        let wanted = case.reference(|weights| reference::train(&case.problem(), weights, &case.x()));
        for dtype in dtypes() {
            let (y, _) = case.on(dtype, |ghost, _, x| module::train(x, ghost).unwrap());
            assert_close("output", &y, &wanted, 8.0 * rounding(dtype));
        }
    }

    #[test]
    fn the_gradients_are_those_of_the_reference(case in cases()) {
        let grad = case.grad();
        for dtype in dtypes() {
            // A value at the ReLU's kink falls on either side by rounding: f32 does without.
            let clamp = if dtype == DType::F64 { case.clamp } else { Clamp::None };
            let case = Case { clamp, ..case.clone() };
            let problem = case.problem();
            let wanted = case.reference(|weights| reference::backward(&problem, weights, &case.x(), &grad));
            let found = case.on(dtype, |ghost, problem, x| {
                let (_, saved) = module::train(x, ghost).unwrap();
                let windowed = Windowed::of(&grad, &problem.output_shape(), dtype, 3, 2);
                module::backward(ghost, saved, &windowed.window).unwrap()
            });
            let [gamma, beta] = found.primary_norm;
            let [cheap_gamma, cheap_beta] = found.cheap_norm;
            let got = [found.input, found.primary, gamma, beta, found.cheap, cheap_gamma, cheap_beta];
            for i in 0..7 {
                assert_close(GRADIENTS[i], &got[i], &wanted[i], 200.0 * rounding(dtype));
            }
        }
    }

    #[test]
    fn inference_applies_the_running_statistics(case in cases()) {
        let [first, second] = case.norms();
        let running = [[&first[2][..], &first[3]], [&second[2][..], &second[3]]];
        let problem = case.problem();
        let wanted = case.reference(|weights| reference::infer(&problem, weights, running, &case.x()));
        for dtype in dtypes() {
            let y = case.on(dtype, |ghost, _, x| {
                let scales = Scales::of(ghost).unwrap();
                assert_launches("inference", 2, || module::infer(x, ghost, &scales).unwrap())
            });
            prop_assert_eq!(y.shape(), &problem.output_shape());
            assert_close("output", &y, &wanted, 8.0 * rounding(dtype));
        }
    }
}

fn example() -> Case {
    Case {
        image: [2, 7, 6, 24],
        kernels: [1, 3],
        m: 36,
        s: 2,
        n: 71,
        stride: 1,
        clamp: Clamp::Relu,
        seed: 5,
    }
}

#[test]
fn training_takes_eight_launches_and_no_copy() {
    example().on(DType::F32, |ghost, problem, x| {
        let (_, saved) = assert_launches("train", 8, || module::train(x, ghost).unwrap());
        let grad = upload(&example().grad(), &problem.output_shape(), DType::F32);
        assert_launches("backward", 13, || {
            module::backward(ghost, saved, &grad).unwrap()
        });
    });
}

#[test]
fn what_is_not_finite_passes_both_halves_as_it_passes_the_composition() {
    let case = example();
    let (problem, norms) = (case.problem(), case.norms());
    let running = norms.each_ref().map(|norm| [&norm[2][..], &norm[3][..]]);
    for value in NOT_FINITE {
        let mut x = case.x();
        // The first channel of a pixel within the second image.
        x[(42 + 3 * 6 + 2) * 24] = value;
        let inferred = case.reference(|weights| reference::infer(&problem, weights, running, &x));
        let trained = case.reference(|weights| reference::train(&problem, weights, &x));
        for dtype in dtypes() {
            let x = upload(&x, &case.image, dtype);
            let y = case.on(dtype, |ghost, _, _| {
                module::infer(&x, ghost, &Scales::of(ghost).unwrap()).unwrap()
            });
            assert_alike("inference", &y, &inferred);
            let (y, _) = case.on(dtype, |ghost, _, _| module::train(&x, ghost).unwrap());
            assert_alike("training", &y, &trained);
        }
    }
}

#[test]
fn a_dropped_channel_still_moves_its_running_statistics() {
    let case = example();
    let full = Case {
        n: 72,
        ..case.clone()
    };
    let moved = [case, full].map(|case| {
        case.on(DType::F32, |ghost, _, x| {
            module::train(x, ghost).unwrap();
            [
                download(&ghost.cheap_norm.running_mean),
                download(&ghost.cheap_norm.running_var),
            ]
        })
    });
    assert_eq!(moved[0], moved[1]);
}

#[test]
fn an_empty_batch_has_an_empty_output_and_gradients_of_zero() {
    let case = Case {
        image: [0, 7, 6, 24],
        ..example()
    };
    case.on(DType::F32, |ghost, _, x| {
        let (y, saved) = module::train(x, ghost).unwrap();
        let found = module::backward(ghost, saved, &y).unwrap();
        assert_eq!(y.shape(), &[0, 7, 6, 71]);
        for gradient in [found.primary, found.cheap] {
            assert!(download(&gradient).iter().all(|&v| v == 0.0));
        }
    });
}

#[test]
fn repeated_launches_give_the_same_bits() {
    let run = || {
        example().on(DType::F32, |ghost, problem, x| {
            let (y, saved) = module::train(x, ghost).unwrap();
            let grad = upload(&example().grad(), &problem.output_shape(), DType::F32);
            let found = module::backward(ghost, saved, &grad).unwrap();
            [y, found.input, found.primary, found.cheap]
        })
    };
    let first = run();
    for _ in 0..3 {
        for (a, b) in first.iter().zip(&run()) {
            assert_same_bits("a Ghost module", a, b);
        }
    }
    let mut fingerprint = Fingerprint::default();
    first.iter().for_each(|tensor| fingerprint.add(tensor));
    assert_same_bits_on_one_core("repeated_launches_give_the_same_bits", &fingerprint);
}

#[test]
fn refusals_name_what_is_wrong() {
    let empty = |shape: &[usize]| Tensor::empty(&client(), shape, DType::F32);
    example().on(DType::F32, |ghost, _, x| {
        for channels in [0, 36, 73] {
            let refused = GhostProblem::new(x, &Ghost { channels, ..*ghost });
            assert_refuses_range(refused, "channels", channels);
        }
        for shape in [[3, 1, 36], [2, 2, 36], [3, 3, 35]] {
            let cheap = &empty(&shape);
            assert_refuses_shape(
                GhostProblem::new(x, &Ghost { cheap, ..*ghost }),
                "cheap",
                &shape,
            );
        }
        let swapped = Ghost {
            cheap_norm: &BatchNorm {
                beta: empty(&[35]),
                ..ghost.cheap_norm.clone()
            },
            ..*ghost
        };
        assert_refuses_shape(GhostProblem::new(x, &swapped), "beta", &[35]);
        let (_, saved) = module::train(x, ghost).unwrap();
        let refused = module::backward(ghost, saved, &empty(&[2, 7, 6, 72])).err();
        assert_refuses_shape::<()>(Err(refused.unwrap()), "grad", &[2, 7, 6, 72]);
    });
}

#[test]
fn the_operation_passes_central_differences() {
    if !dtypes().contains(&DType::F64) {
        eprintln!("skipped: central differences want 64-bit floats");
        return;
    }
    let case = Case {
        image: [2, 3, 4, 3],
        m: 4,
        n: 7,
        clamp: Clamp::None,
        ..example()
    };
    let (shapes, operands) = case.on(DType::F64, |ghost, _, x| {
        let (first, second) = (ghost.primary_norm, ghost.cheap_norm);
        let tensors = [
            x,
            ghost.primary,
            &first.gamma,
            &first.beta,
            ghost.cheap,
            &second.gamma,
            &second.beta,
        ];
        let shapes: Vec<_> = tensors.iter().map(|t| t.shape().to_vec()).collect();
        (shapes, tensors.map(download))
    });
    let inputs: Vec<_> = operands.into_iter().zip(shapes).collect();
    let norm = ops::BatchNorm {
        running_mean: Tensor::zeros(&client(), &[4], DType::F64),
        running_var: Tensor::zeros(&client(), &[4], DType::F64),
        epsilon: EPSILON,
        momentum: 0.1,
        clamp: Clamp::None,
        statistics: ops::Statistics::Batch,
        scale: None,
        into: None,
    };
    let ghost = ops::Ghost {
        options: case.options(),
        channels: 7,
        primary_norm: norm.clone(),
        cheap_norm: norm,
    };
    let apply = |tape: &Tape, v: &[Var]| tape.apply(ghost.clone(), &v.iter().collect::<Vec<_>>());
    gradcheck(&client(), &inputs, apply, GradcheckOptions::default()).unwrap();
}
