//! Batches that a careless formula gets wrong, and results that must not depend on chance.

use super::case::{Case, RESULTS};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::DType;
use ghostlight_tests::{
    Fingerprint, GRADIENT, NOT_FINITE, assert_alike, assert_exact, assert_near, assert_same_bits,
    assert_same_bits_on_one_core, download, dtypes,
};
use proptest::prelude::*;

/// Random pixels of deviation 1 around `mean`.
fn around(mean: f64, pixels: usize, channels: usize) -> Case {
    let mut case = Case::random(pixels, channels, 21);
    for x in &mut case.x {
        *x = f64::from((mean + *x * 3f64.sqrt()) as f32);
    }
    case
}

#[test]
fn a_mean_ten_thousand_times_the_deviation_leaves_the_variance_its_digits() {
    for (pixels, channels) in [(500, 3), (5000, 16), (200, 64)] {
        for mean in [1e4, -1e4] {
            let mut case = around(mean, pixels, channels).with_residual(4);
            case.momentum = 1.0;
            let wanted = case.reference();
            let [y, running_mean, running_var, grad_x, _, grad_gamma, _] = case.train(DType::F32);
            // f32 near 1e4 is a grid of about 1e-3, and the mean is rounded to it: half a step for the output. The variance is made of
            // differences that are not; the mean of the squares less the square of the mean would be wrong by 10.
            let grid = vec![1e-3; case.x.len()];
            let unit = 1.0 / f64::from(f32::EPSILON);
            assert_near(
                "running_mean",
                &running_mean,
                &wanted[1],
                &grid[..channels],
                unit,
            );
            assert_near("y", &y, &wanted[0], &grid, unit);
            let share =
                |values: &[f64], part: f64| values.iter().map(|v| v * part).collect::<Vec<_>>();
            assert_near(
                "running_var",
                &running_var,
                &wanted[2],
                &share(&wanted[2], 2e-6),
                unit,
            );
            assert_near("grad_x", &grad_x, &wanted[3], &grid, 2.0 * unit);
            // Each of the products is off by no more than the mean is.
            let products = vec![1e-3 * pixels as f64; channels];
            assert_near("grad_gamma", &grad_gamma, &wanted[5], &products, unit);
        }
    }
}

/// Asserts that each channel's variance and outputs have their digits: to `share` of themselves in f32, to two millionths of it in f64.
fn assert_moments(case: &Case, share: f64) {
    let wanted = case.reference();
    let shares = |values: &[f64]| values.iter().map(|v| share * v.abs()).collect::<Vec<_>>();
    for dtype in dtypes() {
        let got = case.train(dtype);
        let var = download(&got[2]);
        assert!(
            var.iter().all(|&var| var >= 0.0),
            "{case:?}: variances {var:?}"
        );
        // The reference's own sums in f64 are plain ones.
        let unit = match dtype {
            DType::F64 => 1e-6 / f64::EPSILON,
            _ => 1.0 / f64::from(f32::EPSILON),
        };
        assert_near(
            "running_var",
            &got[2],
            &wanted[2],
            &shares(&wanted[2]),
            unit,
        );
        let close: Vec<f64> = shares(&wanted[0]).iter().map(|v| v + share).collect();
        assert_near("y", &got[0], &wanted[0], &close, unit);
        for (result, name) in got.iter().zip(RESULTS) {
            assert!(download(result).iter().all(|v| v.is_finite()), "{name}");
        }
    }
}

/// Pixels of 0 but for one, of which the first channel is `far`, without what moves the running statistics slowly.
fn far_pixel(pixels: usize, channels: usize, place: usize, far: f64) -> Case {
    let mut case = Case::random(pixels, channels, 12);
    case.x = vec![0.0; pixels * channels];
    case.x[place * channels] = far;
    (case.gamma, case.beta) = (vec![1.0; channels], vec![0.0; channels]);
    case.momentum = 1.0;
    case
}

#[test]
fn a_pixel_far_from_all_others_leaves_the_variance_above_zero() {
    // torch.nn.functional.batch_norm in f64 of [8, 1, 64, 64], the first pixel 300, all others 0.
    let case = far_pixel(8 * 64 * 64, 1, 0, 300.0);
    let [y, .., var] = [0, 1, 2].map(|i| download(&case.train(DType::F32)[i]));
    assert!((y[0] - 181.016).abs() < 1e-3, "{}", y[0]);
    assert!((y[1] + 0.005524).abs() < 1e-6, "{}", y[1]);
    assert!((var[0] - 2.7466).abs() < 1e-4, "{}", var[0]);
    // The first and the last pixel of groups, of blocks, of partial results and of all.
    for place in [0, 1, 7, 8, 511, 512, 2047, 2048, 4095, 4096, 4992, 4999] {
        for far in [300.0, 3041.0, -1e6] {
            assert_moments(&far_pixel(5000, 16, place, far), 3e-6);
        }
    }
    assert_moments(&far_pixel(32_768, 1, 0, 3041.0), 3e-6);
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(24))]

    #[test]
    fn a_random_pixel_far_from_random_others_costs_the_variance_no_digits(
        channels in prop::sample::select(&[1usize, 3, 16, 36][..]),
        pixels in prop_oneof![2usize..40, 500usize..530, 2040usize..2100],
        place: prop::sample::Index,
        exponent in 0.0..9.0,
    ) {
        let mut case = far_pixel(pixels, channels, 0, 0.0);
        case.x = Case::random(pixels, channels, 13).x;
        case.x[place.index(pixels * channels)] = f64::from(10f64.powf(exponent) as f32);
        assert_moments(&case, 1e-5);
    }
}

#[test]
fn a_million_pixels_keep_their_moments_and_their_gradients() {
    let mut case = Case::random(1_000_000, 1, 14);
    let value = |i: usize| f64::from(if i.is_multiple_of(2) { 0.1f32 } else { -0.3 });
    case.x = (0..1_000_000).map(value).collect();
    case.grad = vec![f64::from(0.1f32); 1_000_000];
    case.momentum = 1.0;
    let wanted = case.reference();
    let got = case.train(DType::F32);
    // One by one, equal terms would be off by 1e-2 of their sum.
    for i in [1, 2, 6] {
        let size = [wanted[i][0].abs()];
        assert_near(RESULTS[i], &got[i], &wanted[i], &size, 16.0);
    }
}

#[test]
fn a_constant_channel_gives_beta_and_a_gradient_of_gamma_that_is_zero() {
    for constant in [0.0, 1.0, -3e4, 1e-20f32.into(), 0.1f32.into()] {
        for pixels in [2, 3, 100, 4100, 40_005] {
            let mut case = Case::random(pixels, 3, 5);
            case.x = vec![constant; 3 * pixels];
            (case.running_mean, case.running_var) = (vec![constant; 3], vec![0.0; 3]);
            let beta: Vec<f64> = case.beta.iter().cycle().take(3 * pixels).copied().collect();
            for dtype in dtypes() {
                let got = case.train(dtype);
                assert_exact("y", &got[0], &beta);
                assert_exact("running_mean", &got[1], &[constant; 3]);
                assert_exact("running_var", &got[2], &[0.0; 3]);
                assert_exact("grad_gamma", &got[5], &[0.0; 3]);
                assert!(download(&got[3]).iter().all(|g| g.is_finite()));
            }
        }
    }
}

#[test]
fn one_pixel_gives_beta_and_no_gradient() {
    for channels in [1, 10, 16, 48] {
        let mut case = Case::random(1, channels, 6);
        case.momentum = 1.0;
        case.running_mean = vec![0.0; channels];
        for dtype in dtypes() {
            let got = case.train(dtype);
            assert_exact("y", &got[0], &case.beta);
            assert_exact("running_mean", &got[1], &case.x);
            assert_exact("running_var", &got[2], &vec![0.0; channels]);
            assert_exact("grad_x", &got[3], &vec![0.0; channels]);
            assert_exact("grad_beta", &got[6], &case.grad);
        }
    }
}

#[test]
fn an_empty_batch_moves_no_statistics_and_has_gradients_of_zero() {
    for residual in [false, true] {
        let case = Case::random(0, 10, 6);
        let case = if residual {
            case.with_residual(1)
        } else {
            case
        };
        for dtype in dtypes() {
            let got = case.train(dtype);
            assert!(got[0].is_empty() && got[3].is_empty() && got[4].is_empty());
            assert_exact("running_mean", &got[1], &case.running_mean);
            assert_exact("running_var", &got[2], &case.running_var);
            assert_exact("grad_gamma", &got[5], &[0.0; 10]);
            assert_exact("grad_beta", &got[6], &[0.0; 10]);
            assert!(case.infer(dtype).is_empty());
        }
    }
}

#[test]
fn huge_tiny_zero_and_negative_scales_stay_finite_and_right() {
    for gamma in [1e30, 1e-30, 0.0, -1e10, -1.0] {
        let mut case = Case::random(200, 16, 7);
        case.gamma = vec![f64::from(gamma as f32); 16];
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        for dtype in dtypes() {
            let got = case.train(dtype);
            for i in 0..7 {
                assert!(
                    download(&got[i]).iter().all(|v| v.is_finite()),
                    "{gamma}: {}",
                    RESULTS[i]
                );
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
}

#[test]
fn deviations_far_below_and_far_above_one_are_normalised() {
    for scale in [1e-12, 1e12] {
        let mut case = Case::random(300, 10, 8);
        case.x = case
            .x
            .iter()
            .map(|x| f64::from((x * scale) as f32))
            .collect();
        case.epsilon = f64::from((scale * scale * 1e-3) as f32);
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        for dtype in dtypes() {
            let got = case.train(dtype);
            for i in [0, 3, 5, 6] {
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
}

#[test]
fn a_pixel_that_is_not_a_number_spoils_its_own_channel_alone() {
    for channels in [3, 16] {
        let clean = Case::random(100, channels, 9);
        let mut spoiled = clean.clone();
        spoiled.x[50 * channels + 1] = f64::NAN;
        for dtype in dtypes() {
            let (got, before) = (spoiled.train(dtype), clean.train(dtype));
            for i in [0, 1, 2, 3, 5] {
                let (got, before) = (download(&got[i]), download(&before[i]));
                for (j, (got, before)) in got.iter().zip(before).enumerate() {
                    assert_eq!(
                        got.is_nan(),
                        j % channels == 1,
                        "{} element {j}: {got}",
                        RESULTS[i]
                    );
                    assert!(got.is_nan() || *got == before, "{} element {j}", RESULTS[i]);
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_passes_the_fused_relu_as_it_passes_the_composition() {
    for (channels, with_residual) in [(3, false), (3, true), (16, false), (36, true)] {
        for (value, clamp) in NOT_FINITE
            .into_iter()
            .flat_map(|value| [(value, Clamp::Relu), (value, Clamp::Relu6)])
        {
            for operand in 0..3 {
                let mut case = Case::random(100, channels, 9);
                if with_residual || operand == 1 {
                    case = case.with_residual(4);
                }
                case.clamp = clamp;
                match operand {
                    0 => case.x[50 * channels + 1] = value,
                    1 => case.residual.as_mut().expect("one was drawn")[50 * channels + 1] = value,
                    _ => case.beta[1] = value,
                }
                let wanted = case.reference();
                let layer = case.layer();
                let inferred = layer.apply(&case.x, &case.running_mean, &case.running_var);
                for dtype in dtypes() {
                    let got = case.train(dtype);
                    for i in 0..7 {
                        // The moments of an infinity are no finite numbers, and no certain ones.
                        if value.is_nan() || ![1, 2].contains(&i) {
                            assert_alike(RESULTS[i], &got[i], &wanted[i]);
                        }
                    }
                    assert_alike("infer", &case.infer(dtype), &inferred);
                }
            }
        }
    }
}

#[test]
fn pytorchs_batch_norm_with_a_nan_and_a_relu_is_nan_throughout() {
    // `relu(batch_norm(x))` of x = [1, nan, 3, 4] in training; the gradient of beta is the sum of what arrives.
    let case = Case {
        x: vec![1.0, f64::NAN, 3.0, 4.0],
        grad: vec![1.0, 2.0, 4.0, 8.0],
        clamp: Clamp::Relu,
        ..Case::random(4, 1, 3)
    };
    for dtype in dtypes() {
        for case in [case.clone(), case.clone().with_residual(1)] {
            let got = case.train(dtype);
            assert_alike("y", &got[0], &[f64::NAN; 4]);
            assert_alike("grad_x", &got[3], &[f64::NAN; 4]);
            if case.residual.is_some() {
                assert_exact("grad_residual", &got[4], &case.grad);
            }
            assert_exact("grad_beta", &got[6], &[15.0]);
        }
    }
}

fn several() -> [Case; 4] {
    let plain = Case::random(5000, 16, 31);
    let clamp = Case {
        clamp: Clamp::Relu,
        ..Case::random(900, 10, 32)
    };
    let residual = Case {
        clamp: Clamp::Relu,
        ..Case::random(3000, 3, 33).with_residual(34)
    };
    [
        plain,
        clamp,
        residual,
        Case::random(70, 128, 35).with_residual(36),
    ]
}

#[test]
fn repeated_launches_give_the_same_bits() {
    for case in several() {
        for dtype in dtypes() {
            let (first, inferred) = (case.train(dtype), case.infer(dtype));
            for _ in 0..4 {
                let again = case.train(dtype);
                for i in 0..7 {
                    assert_same_bits(RESULTS[i], &first[i], &again[i]);
                }
                assert_same_bits("infer", &inferred, &case.infer(dtype));
            }
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for case in several() {
        for dtype in dtypes() {
            case.train(dtype)
                .iter()
                .for_each(|result| fingerprint.add(result));
            fingerprint.add(&case.infer(dtype));
        }
    }
    assert_same_bits_on_one_core("hostile::one_core_gives_the_same_bits_as_all", &fingerprint);
}
