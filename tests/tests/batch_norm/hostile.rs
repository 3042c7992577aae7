//! Batches that a careless formula gets wrong, and results that must not depend on chance.

use super::case::{Case, RESULTS};
use ghostlight_kernels::DType;
use ghostlight_tests::{
    Fingerprint, GRADIENT, NOT_FINITE, assert_alike, assert_exact, assert_near, assert_same_bits,
    assert_same_bits_on_one_core, download, dtypes,
};

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
            // f32 near 1e4 is a grid of about 1e-3, and the mean is rounded to it: half a step for the output. The means of
            // partial results are rounded to it as well before they are merged, which moves the variance by some 1e-5; the mean
            // of the squares less the square of the mean would be wrong by 10.
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
                &share(&wanted[2], 5e-5),
                unit,
            );
            assert_near("grad_x", &grad_x, &wanted[3], &grid, 2.0 * unit);
            // Each of the products is off by no more than the mean is.
            let products = vec![1e-3 * pixels as f64; channels];
            assert_near("grad_gamma", &grad_gamma, &wanted[5], &products, unit);
        }
    }
}

#[test]
fn a_constant_channel_gives_beta_and_a_gradient_of_gamma_that_is_zero() {
    for constant in [0.0, 1.0, -3e4, 1e-20f32.into(), 0.1f32.into()] {
        for pixels in [2, 100, 4100] {
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
        for value in NOT_FINITE {
            for operand in 0..3 {
                let mut case = Case::random(100, channels, 9);
                if with_residual || operand == 1 {
                    case = case.with_residual(4);
                }
                case.relu = true;
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
        relu: true,
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
    let relu = Case {
        relu: true,
        ..Case::random(900, 10, 32)
    };
    let residual = Case {
        relu: true,
        ..Case::random(3000, 3, 33).with_residual(34)
    };
    [
        plain,
        relu,
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
