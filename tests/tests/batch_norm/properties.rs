//! What holds for every layer.

use super::case::{Case, RESULTS, cases};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::DType;
use ghostlight_kernels::launch::allocations;
use ghostlight_kernels::norm::batch_norm::reference::Layer;
use ghostlight_tests::{
    GRADIENT, VALUE, assert_exact, assert_near, assert_same_bits, dtypes, integers,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn a_training_step_differs_from_the_reference_by_no_more_than_rounding(case in cases()) {
        let case = case.away_from_the_kink();
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        for dtype in dtypes() {
            let got = case.train(dtype);
            for i in 0..7 {
                let factor = if i < 3 { VALUE } else { GRADIENT } * case.naive();
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], factor);
            }
        }
    }

    #[test]
    fn slices_and_runs_of_any_length_agree_with_the_reference(
        channels in prop::sample::select(&[5usize, 6, 36, 100, 132, 260, 520][..]),
        pixels in 1usize..300,
        clamp in prop::sample::select(&Clamp::ALL[..]),
        residual: bool,
        seed: u32,
    ) {
        // Vectors that no slice of channels divides, and a last run of pixels that is cut off.
        let mut case = Case::random(pixels, channels, seed.into());
        if residual {
            case = case.with_residual(u64::from(seed) + 9);
        }
        case.clamp = clamp;
        let case = case.away_from_the_kink();
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        let got = case.train(DType::F32);
        for i in 0..7 {
            let factor = if i < 3 { VALUE } else { GRADIENT } * case.naive();
            assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], factor);
        }
    }

    #[test]
    fn inference_applies_the_running_statistics(case in cases()) {
        let wanted = case.layer().apply(&case.x, &case.running_mean, &case.running_var);
        let bare = |values: &[f64]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
        let (gamma, beta) = (bare(&case.gamma), bare(&case.beta));
        let residual = case.residual.as_deref().map(bare);
        let layer = Layer { gamma: &gamma, beta: &beta, residual: residual.as_deref(), clamp: Clamp::None, ..case.layer() };
        let negated: Vec<f64> = case.running_mean.iter().map(|v| -v.abs()).collect();
        let magnitude = layer.apply(&bare(&case.x), &negated, &case.running_var);
        for dtype in dtypes() {
            assert_near("infer", &case.infer(dtype), &wanted, &magnitude, VALUE * 3.0);
        }
    }
}

#[test]
fn a_balanced_batch_of_signs_is_exact() {
    // Mean 0 and variance 1, so an epsilon of 3 gives an inverse deviation of 1/2; 4096 pixels are two partial results.
    for (pixels, channels) in [(4, 1), (64, 10), (4096, 3), (8192, 16), (256, 48)] {
        let len = pixels * channels;
        for (clamp, residual) in Clamp::ALL
            .into_iter()
            .flat_map(|clamp| [(clamp, false), (clamp, true)])
        {
            let mut case = Case::random(pixels, channels, 1);
            for (i, x) in case.x.iter_mut().enumerate() {
                *x = if (i / channels + i % channels).is_multiple_of(2) {
                    1.0
                } else {
                    -1.0
                };
            }
            case.grad = integers(2, len);
            case.gamma = integers(3, channels);
            case.beta = integers(4, channels)
                .iter()
                .map(|beta| 2.0 * beta)
                .collect();
            case.running_mean = integers(5, channels);
            case.running_var = vec![4.0; channels];
            case.residual = residual.then(|| integers(6, len));
            case.clamp = clamp;
            (case.epsilon, case.momentum) = (3.0, 0.5);
            let wanted = case.reference();
            for dtype in dtypes() {
                let got = case.train(dtype);
                // All but the running variance, whose unbiased divisor is no power of two.
                for i in [0, 1, 3, 4, 5, 6] {
                    assert_exact(RESULTS[i], &got[i], &wanted[i]);
                }
            }
        }
    }
}

#[test]
fn a_gradient_in_the_place_of_its_input_has_the_same_bits() {
    // Nothing overlaps in the first and the last; the others' last pixels or channels are computed twice, which in place would show.
    for (pixels, channels) in [(4096, 16), (4095, 16), (4096, 10), (4096, 24), (64, 48)] {
        for (clamp, residual) in [
            (Clamp::None, false),
            (Clamp::Relu, false),
            (Clamp::Relu6, false),
            (Clamp::Relu6, true),
        ] {
            let mut case = Case::random(pixels, channels, 7);
            case.residual = residual.then(|| integers(6, pixels * channels));
            case.clamp = clamp;
            let start = allocations();
            let kept = case.train(DType::F32);
            let between = allocations();
            let consumed = case.gradients_without_x(DType::F32);
            if (pixels, channels) == (4096, 16) {
                let saved = (between - start) - (allocations() - between);
                assert_eq!(saved, 1, "buffers that the place of x saves");
            }
            for (i, gradient) in (3..7).zip(&consumed) {
                assert_same_bits(RESULTS[i], &kept[i], gradient);
            }
        }
    }
}

#[test]
fn many_partial_results_merge_into_the_moments_of_the_whole() {
    // Past 64 x 2048 pixels a partial result covers more than 2048. A trend makes the partial means differ.
    let mut case = Case::random(140_001, 2, 3);
    for (i, x) in case.x.iter_mut().enumerate() {
        *x = f64::from((*x + 1e-5 * i as f64) as f32);
    }
    let (wanted, magnitude) = (case.reference(), case.magnitude());
    for dtype in dtypes() {
        let got = case.train(dtype);
        for i in 0..7 {
            assert_near(
                RESULTS[i],
                &got[i],
                &wanted[i],
                &magnitude[i],
                GRADIENT * case.naive(),
            );
        }
    }
}

#[test]
fn the_running_statistics_move_as_pytorchs() {
    // torch.nn.BatchNorm1d(1, momentum=0.1) after [1, 2, 3, 6], then after [5, 5, 9, 9]: unbiased variances 14/3 and 16/3.
    for dtype in dtypes() {
        let mut case = Case::random(4, 1, 1);
        (case.running_mean, case.running_var) = (vec![0.0], vec![1.0]);
        case.x = vec![1.0, 2.0, 3.0, 6.0];
        let [_, mean, var, ..] = case.train(dtype);
        assert_near("running_mean", &mean, &[0.3], &[0.3], 2.0);
        assert_near("running_var", &var, &[0.9 + 1.4 / 3.0], &[1.5], 2.0);
        (case.running_mean, case.running_var) = (vec![0.3], vec![0.9 + 1.4 / 3.0]);
        case.x = vec![5.0, 5.0, 9.0, 9.0];
        let [_, mean, var, ..] = case.train(dtype);
        assert_near("running_mean", &mean, &[0.97], &[0.97], 4.0);
        assert_near(
            "running_var",
            &var,
            &[0.9 * (0.9 + 1.4 / 3.0) + 1.6 / 3.0],
            &[2.0],
            4.0,
        );
    }
}

#[test]
fn inference_moves_nothing_and_momentum_chooses_between_old_and_new() {
    for dtype in dtypes() {
        let mut case = Case::random(5, 10, 8);
        case.momentum = 0.0;
        let [_, mean, var, ..] = case.train(dtype);
        assert_exact("running_mean kept", &mean, &case.running_mean);
        assert_exact("running_var kept", &var, &case.running_var);
        case.momentum = 1.0;
        let again = case.norm(dtype);
        case.infer(dtype);
        assert_exact(
            "running_mean after inference",
            &again.running_mean,
            &case.running_mean,
        );
        let [_, mean, ..] = case.train(dtype);
        let moments = case.layer().forward(&case.x);
        assert_near(
            "running_mean replaced",
            &mean,
            &moments.mean,
            &[2.0; 10],
            3.0 * VALUE,
        );
    }
}
