//! The ghost half of a G-Ghost stage, alone and joined with the other half on the tape.

use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::{Tape, Var, ops};
use ghostlight_kernels::ghost::mix::{self, Mix, MixProblem, Scales, reference};
use ghostlight_kernels::norm::batch_norm::{BatchNorm, reference::Layer};
use ghostlight_kernels::pointwise::add_at;
use ghostlight_kernels::{Clamp, DType, Tensor};
use ghostlight_tests::{
    NOT_FINITE, Windowed, assert_alike, assert_exact, assert_launches, assert_refuses_range,
    assert_refuses_shape, client, download, dtypes, integers, reals, upload,
};
use proptest::prelude::*;

const EPSILON: f64 = 1e-2;

/// `k` features of `r` channels behind a first block of `p`.
#[derive(Clone, Debug)]
struct Case {
    maps: [usize; 3],
    p: usize,
    r: usize,
    k: usize,
    seed: u64,
}

/// A weight with its rows, gamma, beta, running mean and running variance.
type Branch = (Vec<f64>, usize, [Vec<f64>; 4]);

impl Case {
    fn c(&self) -> usize {
        self.p - self.r
    }

    fn x0(&self) -> Vec<f64> {
        reals(self.seed, self.maps.iter().product::<usize>() * self.p)
    }

    fn features(&self) -> Vec<Vec<f64>> {
        let len = self.maps.iter().product::<usize>() * self.r;
        (0..self.k)
            .map(|i| reals(self.seed + 1 + i as u64, len))
            .collect()
    }

    fn branches(&self) -> [Branch; 3] {
        let c = self.c();
        [(20, c), (30, self.p + self.k * self.r), (40, c)].map(|(seed, rows)| {
            let draw = |i, len| reals(self.seed + seed + i, len);
            let variance = draw(4, c).iter().map(|v| v.abs() + 0.5).collect();
            let norm = [draw(1, c), draw(2, c), draw(3, c), variance];
            (draw(0, rows * c), rows, norm)
        })
    }

    fn grad(&self) -> Vec<f64> {
        reals(
            self.seed + 60,
            self.maps.iter().product::<usize>() * self.c(),
        )
    }

    fn reference<T>(&self, run: impl FnOnce(&reference::Weights) -> T) -> T {
        let branches = self.branches();
        let [cheap, first, second] =
            branches
                .each_ref()
                .map(|(weight, _, norm)| reference::Branch {
                    weight,
                    norm: Layer {
                        gamma: &norm[0],
                        beta: &norm[1],
                        epsilon: EPSILON,
                        residual: None,
                        clamp: Clamp::None,
                    },
                });
        run(&reference::Weights {
            cheap,
            first,
            second,
        })
    }

    /// The maps, the weights with their rows, and the norms on a device.
    fn on<T>(&self, dtype: DType, run: impl FnOnce(&Tensor, &[&Tensor], &Mix) -> T) -> T {
        let [n, h, w] = self.maps;
        let x0 = upload(&self.x0(), &[n, h, w, self.p], dtype);
        let features: Vec<Tensor> = self
            .features()
            .iter()
            .map(|feature| upload(feature, &[n, h, w, self.r], dtype))
            .collect();
        let [cheap, first, second] = self.branches().map(|(weight, rows, norm)| {
            let [gamma, beta, running_mean, running_var] =
                norm.map(|values| upload(&values, &[values.len()], dtype));
            let norm = BatchNorm {
                gamma,
                beta,
                running_mean,
                running_var,
                epsilon: EPSILON,
                momentum: 0.1,
            };
            (upload(&weight, &[rows, self.c()], dtype), norm)
        });
        let mix = Mix {
            cheap: &cheap.0,
            cheap_norm: &cheap.1,
            first: &first.0,
            first_norm: &first.1,
            second: &second.0,
            second_norm: &second.1,
        };
        run(&x0, &features.iter().collect::<Vec<_>>(), &mix)
    }

    fn problem(&self) -> MixProblem {
        self.on(DType::F32, |x0, features, mix| {
            MixProblem::new(x0, features, mix).unwrap()
        })
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let maps = (2usize..5, 1usize..6, 1usize..6).prop_map(|(n, h, w)| [n, h, w]);
    (maps, 1usize..30, 1usize..40, 1usize..4, any::<u32>()).prop_map(|(maps, r, c, k, seed)| Case {
        maps,
        p: r + c,
        r,
        k,
        seed: seed.into(),
    })
}

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

proptest! {
    #![proptest_config(ghostlight_tests::cases(16))]

    #[test]
    fn training_writes_its_window_and_gives_what_the_reference_gives(case in cases()) {
        let (problem, x0, features) = (case.problem(), case.x0(), case.features());
        let wanted = case.reference(|weights| reference::train(&problem, weights, &x0, &features));
        for dtype in dtypes() {
            let tolerance = if dtype == DType::F32 { 2e-4 } else { 1e-11 };
            let out = Windowed::room(&problem.output_shape(), dtype, case.r, 1);
            case.on(dtype, |x0, features, mix| {
                let run = || mix::train(x0, features, mix, &out.window).unwrap();
                assert_launches("train", case.k + 13, run)
            });
            assert_close("ghost", &out.window, &wanted, tolerance);
            out.assert_gaps_untouched("train");
        }
    }

    #[test]
    fn the_gradients_are_those_of_the_reference(case in cases()) {
        // In f32 a value at a ReLU's kink falls on either side by rounding.
        if dtypes().contains(&DType::F64) {
            let (problem, x0, features, grad) = (case.problem(), case.x0(), case.features(), case.grad());
            let wanted = case.reference(|weights| reference::backward(&problem, weights, &x0, &features, &grad));
            let got = case.on(DType::F64, |x0, features, mix| {
                let out = Tensor::empty(&client(), &problem.output_shape(), DType::F64);
                let saved = mix::train(x0, features, mix, &out).unwrap();
                let grad = Windowed::of(&grad, &problem.output_shape(), DType::F64, case.r, 2);
                let run = || mix::backward(mix, &saved, &grad.window).unwrap();
                assert_launches("backward", case.k + 25, run)
            });
            let maps = std::iter::once(got.x0).chain(got.features);
            let parameters = [got.cheap, got.first, got.second].into_iter().flatten();
            for (i, (got, wanted)) in maps.chain(parameters).zip(&wanted).enumerate() {
                assert_close(&format!("gradient {i}"), &got, wanted, 1e-9);
            }
        }
    }

    #[test]
    fn a_part_is_added_at_its_channels_and_nowhere_else(
        (pixels, before, count, after) in (0usize..6, 0usize..20, 1usize..40, 0usize..20),
        seed: u32,
    ) {
        let channels = before + count + after;
        let (full, part) = (integers(seed.into(), pixels * channels), integers(1, pixels * count));
        for dtype in dtypes() {
            for has_full in [false, true] {
                let windowed = Windowed::of(&part, &[pixels, count], dtype, 2, 3);
                let whole = upload(&full, &[pixels, channels], dtype);
                let sum = add_at(has_full.then_some(&whole), &windowed.window, before, channels).unwrap();
                let wanted: Vec<f64> = (0..pixels * channels).map(|i| {
                    let (pixel, c) = (i / channels, i % channels);
                    let own = (before..before + count).contains(&c);
                    let added = if own { part[pixel * count + c - before] } else { 0.0 };
                    added + if has_full { full[i] } else { 0.0 }
                }).collect();
                assert_exact("sum", &sum, &wanted);
            }
        }
    }
}

fn example() -> Case {
    Case {
        maps: [3, 2, 2],
        p: 11,
        r: 4,
        k: 2,
        seed: 9,
    }
}

#[test]
fn inference_takes_a_launch_a_map_and_three_products() {
    let case = example();
    for dtype in dtypes() {
        // Running statistics that are the batch's make inference and training one thing.
        let problem = case.problem();
        let trained = Tensor::empty(&client(), &problem.output_shape(), dtype);
        let inferred = Windowed::room(&problem.output_shape(), dtype, 4, 0);
        case.on(dtype, |x0, features, mix| {
            let moved = |norm: &BatchNorm| BatchNorm {
                momentum: 1.0,
                ..norm.clone()
            };
            let norms = [mix.cheap_norm, mix.first_norm, mix.second_norm].map(moved);
            let mix = Mix {
                cheap_norm: &norms[0],
                first_norm: &norms[1],
                second_norm: &norms[2],
                ..*mix
            };
            mix::train(x0, features, &mix, &trained).unwrap();
            // The running variance is the unbiased one: take its factor out again.
            for (norm, count) in norms.iter().zip([12.0, 3.0, 3.0]) {
                let biased: Vec<f64> = download(&norm.running_var)
                    .iter()
                    .map(|v| v * (count - 1.0) / count)
                    .collect();
                let biased = upload(&biased, norm.running_var.shape(), dtype);
                ghostlight_kernels::pointwise::fill(&norm.running_var, 0.0);
                ghostlight_kernels::pointwise::add_into(&norm.running_var, &biased).unwrap();
            }
            let scales = Scales::of(&mix).unwrap();
            assert_launches("infer", 3 + 3, || {
                mix::infer(x0, features, &mix, &scales, &inferred.window).unwrap()
            });
        });
        let tolerance = if dtype == DType::F32 { 1e-3 } else { 1e-9 };
        assert_close("ghost", &inferred.window, &download(&trained), tolerance);
        inferred.assert_gaps_untouched("infer");
    }
}

#[test]
fn what_is_not_finite_passes_the_stage_as_it_passes_the_composition() {
    let case = example();
    let problem = case.problem();
    for value in NOT_FINITE {
        for place in 0..case.p {
            let mut maps = case.x0();
            maps[5 * case.p + place] = value;
            let features = case.features();
            let wanted =
                case.reference(|weights| reference::train(&problem, weights, &maps, &features));
            for dtype in dtypes() {
                let out = Tensor::empty(&client(), &problem.output_shape(), dtype);
                let [n, h, w] = case.maps;
                let maps = upload(&maps, &[n, h, w, case.p], dtype);
                case.on(dtype, |_, features, mix| {
                    mix::train(&maps, features, mix, &out).unwrap()
                });
                assert_alike("ghost", &out, &wanted);
            }
        }
    }
}

#[test]
fn a_stage_of_windows_passes_central_differences() {
    if !dtypes().contains(&DType::F64) {
        eprintln!("skipped: central differences want 64-bit floats");
        return;
    }
    let case = example();
    let ([n, h, w], c) = (case.maps, case.c());
    let norm = |channels: usize, clamp, into| ops::BatchNorm {
        running_mean: Tensor::zeros(&client(), &[channels], DType::F64),
        running_var: Tensor::zeros(&client(), &[channels], DType::F64),
        epsilon: EPSILON,
        momentum: 0.1,
        clamp,
        statistics: ops::Statistics::Batch,
        scale: None,
        into,
    };
    let mut inputs = vec![(case.x0(), vec![n, h, w, case.p])];
    let thin = [
        reals(70, case.r * case.r),
        reals(71, case.r),
        reals(72, case.r),
    ];
    inputs.push((thin[0].clone(), vec![1, 1, case.r, case.r]));
    inputs.extend(
        thin[1..]
            .iter()
            .map(|values| (values.clone(), vec![case.r])),
    );
    for (weight, rows, [gamma, beta, ..]) in example_with_two_features().branches() {
        inputs.push((weight, vec![rows, c]));
        inputs.push((gamma, vec![c]));
        inputs.push((beta, vec![c]));
    }
    // x0's first channels go through a thin block into the first window of the output; the ghosts, which also see that block's
    // output, go into the second: the stage's three uses of x0.
    let stage = |tape: &Tape, v: &[Var]| {
        let y = Tensor::empty(&client(), &[n, h, w, case.p], DType::F64);
        let raw = tape.window(&v[0], 0, case.r)?;
        let conv = ops::Conv {
            options: ghostlight_kernels::conv::dense::ConvOptions::square(1, 0),
        };
        let thin = tape.apply(conv, &[&raw, &v[1]])?;
        let first = norm(case.r, Clamp::Relu, Some(y.window(0, case.r)?));
        let first = tape.apply(first, &[&thin, &v[2], &v[3]])?;
        let ghosts = ops::GhostMix {
            cheap_norm: norm(c, Clamp::Relu, None),
            first_norm: norm(c, Clamp::Relu, None),
            second_norm: norm(c, Clamp::None, None),
            out: y.window(case.r, c)?,
        };
        let mut operands = vec![&v[0], &raw, &first];
        operands.extend(&v[4..]);
        let ghosts = tape.apply(ghosts, &operands)?;
        tape.join(&y, &[&first, &ghosts])
    };
    let options = GradcheckOptions {
        step: 1e-6,
        tolerance: 1e-5,
        ..GradcheckOptions::default()
    };
    gradcheck(&client(), &inputs, stage, options).unwrap();
}

fn example_with_two_features() -> Case {
    Case { k: 2, ..example() }
}

#[test]
fn refusals_name_what_is_wrong() {
    let empty = |shape: &[usize]| Tensor::empty(&client(), shape, DType::F32);
    example().on(DType::F32, |x0, features, mix| {
        assert_refuses_shape(
            MixProblem::new(&empty(&[3, 2, 11]), features, mix),
            "x0",
            &[3, 2, 11],
        );
        assert_refuses_range(MixProblem::new(x0, &[], mix), "channels of a feature", 0);
        let wide = empty(&[3, 2, 2, 11]);
        assert_refuses_range(
            MixProblem::new(x0, &[&wide], mix),
            "channels of a feature",
            11,
        );
        let other = empty(&[3, 2, 2, 5]);
        assert_refuses_shape(
            MixProblem::new(x0, &[features[0], &other], mix),
            "feature",
            &[3, 2, 2, 5],
        );
        assert_refuses_shape(MixProblem::new(x0, &features[..1], mix), "first", &[19, 7]);
        let out = empty(&[3, 2, 2, 8]);
        let refused = mix::train(x0, features, mix, &out).map(|_| ());
        assert_refuses_shape(refused, "out", &[3, 2, 2, 8]);
        assert!(mix::train(x0, features, mix, &empty(&[3, 2, 2, 7])).is_ok());
    });
}

#[test]
fn a_join_refuses_what_is_no_window_of_the_whole() {
    let tape = Tape::new();
    let whole = Tensor::empty(&client(), &[2, 7], DType::F32);
    let part = |start, count| Var::constant(whole.window(start, count).unwrap());
    assert!(tape.join(&whole, &[&part(0, 3), &part(3, 4)]).is_ok());
    assert!(tape.join(&whole, &[&part(3, 4), &part(0, 3)]).is_err());
    assert!(tape.join(&whole, &[&part(0, 3)]).is_err());
    let other = Var::constant(Tensor::empty(&client(), &[2, 4], DType::F32));
    assert!(tape.join(&whole, &[&part(0, 3), &other]).is_err());
}
