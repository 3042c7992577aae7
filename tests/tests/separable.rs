//! Separable self-attention: the reference on random shapes, PyTorch's numbers, closed forms, hostile values, windows, launches,
//! determinism, gradients and refusals.

use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops::SeparableAttention;
use ghostlight_kernels::attention::separable::{backward, reference, separable_attention};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{
    Fingerprint, GRADIENT, NOT_FINITE, VALUE, Windowed, abs, assert_alike, assert_exact,
    assert_launches, assert_near, assert_refuses_dtype, assert_refuses_shape, assert_same_bits,
    assert_same_bits_on_one_core, client, download, dtypes_with_exp, finishes_loops, has_f64_exp,
    integers, naive, poison, reals, upload,
};
use proptest::prelude::*;

/// Samples, tokens of a sample, channels.
#[derive(Clone, Copy, Debug)]
struct Case([usize; 3]);

impl Case {
    /// `[s, n, 1 + 2 c]`.
    fn qkv(&self) -> [usize; 3] {
        let [samples, tokens, channels] = self.0;
        [samples, tokens, 1 + 2 * channels]
    }

    /// Elements of `qkv` and of the result.
    fn lens(&self) -> [usize; 2] {
        [self.qkv(), self.0].map(|shape| shape.iter().product())
    }

    /// Result and gradient.
    fn apply(&self, qkv: &Tensor, grad: &Tensor) -> [Tensor; 2] {
        let (out, saved) = separable_attention(qkv).unwrap();
        let gradient = backward(&saved, grad).unwrap();
        [out, gradient]
    }

    /// Both, on memory full of NaN.
    fn run(&self, qkv: &[f64], grad: &[f64], dtype: DType) -> [Tensor; 2] {
        let [samples, tokens, channels] = self.0;
        let qkv = upload(qkv, &self.qkv(), dtype);
        let grad = upload(grad, &self.0, dtype);
        poison(
            dtype,
            &[qkv.len(), grad.len(), samples * tokens, samples * channels],
        );
        let results = self.apply(&qkv, &grad);
        assert_eq!(results[0].shape(), self.0);
        assert_eq!(results[1].shape(), self.qkv());
        results
    }

    fn reference(&self, qkv: &[f64], grad: &[f64]) -> [Vec<f64>; 2] {
        let [_, tokens, channels] = self.0;
        [
            reference::forward(qkv, tokens, channels),
            reference::backward(qkv, grad, tokens, channels),
        ]
    }

    /// The sums of the magnitudes of all terms of a result and of a gradient. An exponent's own rounding is as large as the exponent.
    fn magnitudes(&self, qkv: &[f64], grad: &[f64]) -> [Vec<f64>; 2] {
        let [_, tokens, channels] = self.0;
        let wide = 1 + 2 * channels;
        let (mut out, mut by_qkv) = (Vec::new(), Vec::new());
        let samples = qkv.chunks((tokens * wide).max(1));
        for (sample, grad) in samples.zip(grad.chunks((tokens * channels).max(1))) {
            let queries = || sample.chunks(wide).map(|token| token[0]);
            let max = queries().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = queries().map(|query| (query - max).exp()).sum();
            let shares: Vec<f64> = queries()
                .map(|query| (query - max).exp() / sum * (1.0 + max - query))
                .collect();
            let (mut context, mut by_context) = (vec![0.0; channels], vec![0.0; channels]);
            let tokens = || sample.chunks(wide).zip(grad.chunks(channels)).zip(&shares);
            for ((token, grad), share) in tokens() {
                for c in 0..channels {
                    context[c] += share * token[1 + c].abs();
                    by_context[c] += grad[c].abs() * token[1 + channels + c].max(0.0);
                }
            }
            let mean: f64 = context.iter().zip(&by_context).map(|(u, h)| u * h).sum();
            for ((token, grad), share) in tokens() {
                let values = token[1 + channels..].iter().zip(&context);
                out.extend(values.map(|(value, context)| value.abs() * context));
                let keys = token[1..].iter().zip(&by_context);
                by_qkv.push(share * (mean + keys.map(|(k, h)| k.abs() * h).sum::<f64>()));
                by_qkv.extend(by_context.iter().map(|h| share * h));
                by_qkv.extend(grad.iter().zip(&context).map(|(g, u)| g.abs() * u));
            }
        }
        [out, by_qkv]
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let samples = prop_oneof![1 => Just(0usize), 8 => 1usize..6];
    let tokens =
        prop_oneof![1 => Just(1usize), 4 => 2usize..20, 2 => 30usize..70, 1 => 120usize..140];
    let channels = prop_oneof![Just(1usize), 2usize..20, 30usize..70, Just(96), Just(130)];
    (samples, tokens, channels).prop_map(|(s, n, c)| Case([s, n, c]))
}

/// A few cases whose shapes matter to nobody.
fn several() -> [Case; 4] {
    [
        Case([5, 16, 64]),
        Case([3, 21, 36]),
        Case([4, 1, 10]),
        Case([2, 65, 130]),
    ]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn values_and_gradients_differ_from_the_reference_by_no_more_than_rounding(
        case in cases(),
        scale in prop_oneof![3 => Just(1.0), 1 => Just(20.0), 1 => Just(1e4)],
        seed: u32,
    ) {
        let [qkv, out] = case.lens();
        let [_, tokens, channels] = case.0;
        let mut qkv = reals(seed.into(), qkv);
        for token in qkv.chunks_mut(1 + 2 * channels) {
            token[0] = f64::from((token[0] * scale) as f32);
        }
        let grad = reals(u64::from(seed) + 1, out);
        let wanted = case.reference(&qkv, &grad);
        let magnitudes = case.magnitudes(&qkv, &grad);
        for dtype in dtypes_with_exp() {
            let [out, by_qkv] = case.run(&qkv, &grad, dtype);
            assert_near("out", &out, &wanted[0], &magnitudes[0], VALUE * (1.0 + naive(tokens)));
            let units = GRADIENT * (naive(tokens) + naive(channels));
            assert_near("qkv", &by_qkv, &wanted[1], &magnitudes[1], units);
        }
    }

    /// The mean of so many integers is exact.
    #[test]
    fn tokens_of_one_query_share_alike(samples in 1usize..4, power in 0u32..8, channels in 1usize..40, level in -3i32..3, seed: u32) {
        let case = Case([samples, 1 << power, channels]);
        let mut qkv = integers(seed.into(), case.lens()[0]);
        for token in qkv.chunks_mut(1 + 2 * channels) {
            token[0] = level.into();
        }
        let grad = integers(u64::from(seed) + 1, case.lens()[1]);
        let wanted = case.reference(&qkv, &grad);
        for dtype in dtypes_with_exp() {
            let got = case.run(&qkv, &grad, dtype);
            assert_exact("out", &got[0], &wanted[0]);
            assert_exact("qkv", &got[1], &wanted[1]);
        }
    }

    #[test]
    fn a_gradient_in_a_window_gives_the_same_bits(case in cases(), before in 0usize..20, after in 0usize..20) {
        let [qkv, out] = case.lens();
        let (qkv, grad) = (reals(1, qkv), reals(2, out));
        for dtype in dtypes_with_exp() {
            let whole = case.run(&qkv, &grad, dtype);
            let window = Windowed::of(&grad, &case.0, dtype, before, after);
            let windowed = case.apply(&upload(&qkv, &case.qkv(), dtype), &window.window);
            assert_same_bits("gradient", &whole[1], &windowed[1]);
        }
    }

    #[test]
    fn gradients_are_derivatives(shape in [1usize..4, 1usize..7, 1usize..6]) {
        if !has_f64_exp() {
            return Ok(());
        }
        let case = Case(shape);
        let mut qkv = reals(1, case.lens()[0]);
        // No value so near 0 that a step of the difference would pass it.
        for token in qkv.chunks_mut(1 + 2 * shape[2]) {
            for value in &mut token[1 + shape[2]..] {
                *value += 0.05f64.copysign(*value);
            }
        }
        let apply = |tape: &ghostlight_autodiff::Tape, v: &[ghostlight_autodiff::Var]| tape.apply(SeparableAttention, &[&v[0]]);
        gradcheck(&client(), &[(qkv, case.qkv().to_vec())], apply, GradcheckOptions::default())?;
    }

    #[test]
    fn no_shape_panics(qkv in prop::collection::vec(0usize..6, 0..5), grad in prop::collection::vec(0usize..4, 0..5)) {
        let of = |shape: &[usize]| Tensor::zeros(&client(), shape, DType::F32);
        let good = matches!(qkv[..], [_, _, wide] if wide >= 3 && wide % 2 == 1);
        match separable_attention(&of(&qkv)) {
            Ok((out, saved)) => {
                prop_assert!(good);
                prop_assert_eq!(backward(&saved, &of(&grad)).is_ok(), out.shape() == grad);
            }
            Err(error) => prop_assert!(!good && error.to_string().starts_with("separable_attention: "), "{}", error),
        }
    }
}

#[test]
#[rustfmt::skip]
fn values_and_gradients_are_pytorchs() {
    const OUT: [f64; 12] = [
        0.6721174911427029, 0.0, 0.0, -0.40138342377407654, 0.7393292402569732, 0.0, 0.0, -0.5745971858567251, 0.0, 0.0,
        0.12983225484691743, -0.6566824981219717,
    ];
    const GRAD: [f64; 30] = [
        0.026838192766171186, -0.0755876464434507, -0.056690734832588026, -0.8065409893712434, 0.0, -0.03851346899262647,
        -0.3387603289181909, -0.2540702466886432, 0.0, 0.2675889491827177, 0.011675276226455276, -0.08565202463835836,
        -0.06423901847876877, 0.5376939929141623, 0.0, 0.02633200396374841, -0.026194598933367962, -0.13097299466683981, 0.0,
        0.9850237471829575, -0.03390829657638059, -0.006623031806580198, -0.03311515903290099, 0.0, 0.0, 0.007576292612632167,
        -0.029682369260051845, -0.14841184630025922, -0.5193290193876697, -0.6566824981219717,
    ];
    let case = Case([2, 3, 2]);
    let qkv: Vec<f64> = (0..30).map(|i| f64::from(i * 7919 % 23 - 11) / 8.0).collect();
    let grad: Vec<f64> = (0..12).map(|i| f64::from(i * 31 % 7) / 2.0 - 1.5).collect();
    for dtype in dtypes_with_exp() {
        let [out, by_qkv] = case.run(&qkv, &grad, dtype);
        assert_near("out", &out, &OUT, &[1.0; 12], 8.0);
        assert_near("qkv", &by_qkv, &GRAD, &[1.0; 30], 8.0);
    }
}

#[test]
fn a_value_that_is_not_finite_spoils_what_the_formula_says_and_nothing_else() {
    for case in several() {
        let [_, tokens, channels] = case.0;
        let [qkv, out] = case.lens();
        let (clean, grad) = (reals(3, qkv), reals(4, out));
        let token = tokens * (1 + 2 * channels);
        // Of the last sample: a query, the last channel of a key, the last channel of a value.
        for spot in [qkv - token, qkv - token + channels, qkv - 1] {
            for odd in NOT_FINITE {
                let mut spoiled = clean.clone();
                spoiled[spot] = odd;
                let [wanted, by_qkv] = case.reference(&spoiled, &grad);
                for dtype in dtypes_with_exp() {
                    let got = case.run(&spoiled, &grad, dtype);
                    assert_alike("out", &got[0], &wanted);
                    // The mean of a query's gradient is taken of infinities, or of what they were summed to before.
                    let spoilt = |values: &[f64]| -> Vec<bool> {
                        values.iter().map(|value| !value.is_finite()).collect()
                    };
                    assert_eq!(
                        spoilt(&download(&got[1])),
                        spoilt(&by_qkv),
                        "{case:?} at {spot}"
                    );
                    let before = case.run(&clean, &grad, dtype);
                    for (got, before) in got.iter().zip(&before) {
                        let others = got.len() / case.0[0] * (case.0[0] - 1);
                        let first = |x| download(x)[..others].to_vec();
                        assert_eq!(
                            first(got),
                            first(before),
                            "{case:?} at {spot}: other samples"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_spoils_what_the_formula_says() {
    for case in several() {
        let [qkv, out] = case.lens();
        let (qkv, mut grad) = (reals(3, qkv), reals(4, out));
        *grad.last_mut().unwrap() = f64::NAN;
        let wanted = case.reference(&qkv, &grad);
        for dtype in dtypes_with_exp() {
            let got = case.run(&qkv, &grad, dtype);
            assert_alike("out", &got[0], &wanted[0]);
            assert_alike("qkv", &got[1], &wanted[1]);
        }
    }
}

#[test]
fn queries_far_above_the_range_of_exponentials_are_shared_by_their_differences() {
    let case = Case([1, 3, 1]);
    // Queries, keys, values.
    let qkv = [1e4, 1.0, 2.0, 1e4, 3.0, -1.0, -1e4, 99.0, 1.0];
    for dtype in dtypes_with_exp() {
        let [out, _] = case.run(&qkv, &[1.0; 3], dtype);
        assert_exact("out", &out, &[4.0, 0.0, 2.0]);
    }
}

#[test]
fn a_million_equal_tokens_share_their_key() {
    let tokens = 1 << 20;
    if !finishes_loops("a million tokens", tokens) {
        return;
    }
    let (case, tenth) = (Case([1, tokens, 1]), f64::from(0.1f32));
    let qkv = [0.0, tenth, tenth].repeat(tokens);
    let grad = vec![tenth; tokens];
    let [out, by_qkv] = case.run(&qkv, &grad, DType::F32);
    let [wanted, wanted_by_qkv] = case.reference(&qkv, &grad);
    assert_near("out", &out, &wanted, &wanted, 64.0);
    // A query's own gradient is the difference of two equal numbers.
    let magnitude: Vec<f64> = wanted_by_qkv
        .chunks(3)
        .flat_map(|token| [token[1] * tenth, token[1], token[2]])
        .collect();
    assert_near("qkv", &by_qkv, &wanted_by_qkv, &abs(&magnitude), 256.0);
}

#[test]
fn each_phase_is_one_launch_and_an_empty_batch_none() {
    for (batch, launches) in [(2, 2), (0, 0)] {
        for mut case in several() {
            case.0[0] = batch;
            let [qkv, out] = case.lens();
            let qkv = upload(&reals(1, qkv), &case.qkv(), DType::F32);
            let grad = upload(&reals(2, out), &case.0, DType::F32);
            assert_launches("forward and backward", launches, || case.apply(&qkv, &grad));
        }
    }
}

#[test]
fn repeated_launches_give_the_same_bits_on_one_core_as_on_all() {
    let mut fingerprint = Fingerprint::default();
    for case in several() {
        let [qkv, out] = case.lens();
        let (qkv, grad) = (reals(7, qkv), reals(8, out));
        for dtype in dtypes_with_exp() {
            let first = case.run(&qkv, &grad, dtype);
            for _ in 0..3 {
                let again = case.run(&qkv, &grad, dtype);
                for (first, again) in first.iter().zip(&again) {
                    assert_same_bits("again", first, again);
                }
            }
            first.iter().for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core(
        "repeated_launches_give_the_same_bits_on_one_core_as_on_all",
        &fingerprint,
    );
}

#[test]
fn refusals_come_in_the_documented_order() {
    let of = |shape: &[usize], dtype| Tensor::zeros(&client(), shape, dtype);
    let refused = |shape: &[usize]| separable_attention(&of(shape, DType::F32)).map(|(out, _)| out);
    for shape in [&[2, 5][..], &[2, 3, 4], &[2, 3, 1], &[2, 3, 0]] {
        assert_refuses_shape(refused(shape), "qkv", shape);
    }
    let window = of(&[2, 3, 9], DType::F32).window(1, 4).unwrap();
    let error = separable_attention(&window)
        .map(|(out, _)| out)
        .unwrap_err();
    assert!(
        matches!(error, KernelError::Window { tensor: "qkv", .. }),
        "{error}"
    );
    let (_, saved) = separable_attention(&of(&[2, 3, 5], DType::F32)).unwrap();
    let wrong = of(&[2, 3, 5], DType::F64);
    assert_refuses_shape(backward(&saved, &wrong), "grad", &[2, 3, 5]);
    let double = of(&[2, 3, 2], DType::F64);
    assert_refuses_dtype(backward(&saved, &double), "grad", DType::F64);
}
