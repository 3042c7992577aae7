//! Values that break careless sums, and determinism.

use super::case::{Case, RESULTS};
use ghostlight_kernels::DType;
use ghostlight_kernels::norm::layer_norm::Sample;
use ghostlight_tests::{
    Fingerprint, GRADIENT, assert_near, assert_same_bits, assert_same_bits_on_one_core, download,
    dtypes, finishes_loops,
};

const BOTH: [Sample; 2] = [Sample::Pixel, Sample::Image];

#[test]
fn a_mean_far_above_the_deviation_does_not_swallow_it() {
    // E[x^2] - E[x]^2 in f32 would leave nothing of a variance of 1/3 beside a squared mean of 10^6.
    for sample in BOTH {
        let mut case = Case::random([6, 5, 100], sample, 1);
        case.x = case
            .x
            .iter()
            .map(|x| f64::from((x + 1000.0) as f32))
            .collect();
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        for dtype in dtypes() {
            let got = case.run(dtype);
            for i in 0..4 {
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], GRADIENT);
            }
            let worst = download(&got[0])
                .iter()
                .zip(&wanted[0])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-3, "off by {worst}");
        }
    }
}

#[test]
fn deviations_far_below_and_far_above_one_are_normalised() {
    for scale in [1e-12, 1e12] {
        for sample in BOTH {
            let mut case = Case::random([6, 5, 36], sample, 2);
            case.x = case
                .x
                .iter()
                .map(|x| f64::from((x * scale) as f32))
                .collect();
            case.epsilon = f64::from((scale * scale * 1e-3) as f32);
            let (wanted, magnitude) = (case.reference(), case.magnitude());
            for dtype in dtypes() {
                let got = case.run(dtype);
                for i in 0..4 {
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
}

#[test]
fn equal_values_are_their_shift() {
    for sample in BOTH {
        let mut case = Case::random([3, 2, 20], sample, 3);
        case.x = vec![0.75; 120];
        for dtype in dtypes() {
            let y = download(&case.run(dtype)[0]);
            for (i, y) in y.iter().enumerate() {
                assert!((y - case.beta[i % 20]).abs() < 1e-5, "element {i}");
            }
        }
    }
}

#[test]
fn what_is_no_number_spoils_its_own_sample_alone() {
    for sample in BOTH {
        for spoil in [f64::NAN, f64::INFINITY] {
            let clean = Case::random([5, 3, 20], sample, 4);
            let mut spoiled = clean.clone();
            spoiled.x[2 * 60 + 20 + 1] = spoil;
            let own = match sample {
                Sample::Pixel => 140..160,
                Sample::Image => 120..180,
            };
            for dtype in dtypes() {
                let (got, before) = (spoiled.run(dtype), clean.run(dtype));
                for i in 0..2 {
                    for (j, (got, before)) in download(&got[i])
                        .iter()
                        .zip(download(&before[i]))
                        .enumerate()
                    {
                        assert_eq!(got.is_nan(), own.contains(&j), "{} element {j}", RESULTS[i]);
                        assert!(got.is_nan() || *got == before, "{} element {j}", RESULTS[i]);
                    }
                }
            }
        }
    }
}

#[test]
fn an_image_of_a_million_elements_keeps_its_digits() {
    if !finishes_loops("an image of a million elements", 1_000_000) {
        return;
    }
    let mut case = Case::random([1, 20_000, 50], Sample::Image, 5);
    case.x = case
        .x
        .iter()
        .map(|x| f64::from((x + 10.0) as f32))
        .collect();
    let (wanted, magnitude) = (case.reference(), case.magnitude());
    let got = case.run(DType::F32);
    for i in 0..4 {
        assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], 32.0);
    }
}

#[test]
fn a_million_equal_elements_are_their_shift_and_their_gradients_add_up() {
    if !finishes_loops("a million equal elements", 1_000_000) {
        return;
    }
    let tenth = f64::from(0.1f32);
    // Pixels of one channel, and pixels that are one long row.
    for (shape, sample) in [
        ([1, 1_000_000, 1], Sample::Image),
        ([1, 1, 1_000_000], Sample::Pixel),
        ([1_000_000, 1, 1], Sample::Pixel),
    ] {
        let mut case = Case::random(shape, sample, 8);
        case.x.fill(tenth);
        case.grad.fill(tenth);
        (case.gamma, case.beta) = (vec![1.0; shape[2]], vec![0.0; shape[2]]);
        case.epsilon = 1e-5;
        let got = case.run(DType::F32);
        let worst = download(&got[0])
            .iter()
            .fold(0.0, |top: f64, y| top.max(y.abs()));
        assert!(worst < 1e-4, "{shape:?}: {worst}, wanted 0");
        // What a mean is off by, 316 times, that of the gradient as well.
        let worst = download(&got[1])
            .iter()
            .fold(0.0, |top: f64, g| top.max(g.abs()));
        assert!(worst < 1e-4, "{shape:?}: a gradient of {worst}, wanted 0");
        let wanted = vec![tenth * (1_000_000 / shape[2]) as f64; shape[2]];
        assert_near("beta", &got[3], &wanted, &wanted, 32.0);
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for shape in [[1, 1, 1], [300, 1, 192], [9, 50, 36], [130, 3, 10]] {
        for sample in BOTH {
            let case = Case::random(shape, sample, 6);
            for dtype in dtypes() {
                let (first, again) = (case.run(dtype), case.run(dtype));
                for i in 0..4 {
                    assert_same_bits(RESULTS[i], &first[i], &again[i]);
                    fingerprint.add(&first[i]);
                }
            }
        }
    }
    let name = "hostile::repeated_launches_and_one_core_give_the_same_bits";
    assert_same_bits_on_one_core(name, &fingerprint);
}
