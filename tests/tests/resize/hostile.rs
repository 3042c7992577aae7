//! Values that are not finite, and values that must not depend on chance.

use super::case::{Case, several};
use ghostlight_kernels::DType;
use ghostlight_kernels::resize::bilinear::Alignment;
use ghostlight_tests::{
    Fingerprint, assert_near, assert_same_bits_on_one_core, download, dtypes, finishes_loops, reals,
};

#[test]
fn a_value_that_is_not_finite_spoils_its_own_channel_around_it_and_nothing_else() {
    for case in several() {
        let ([_, h, w, c], [input, output]) = (case.input, case.lens());
        let (clean, g) = (reals(3, input), reals(4, output));
        let mut spoiled = clean.clone();
        // The last channel of a corner of the second image, which every alignment reads when it does not shrink much.
        spoiled[(h * w + (h - 1) * w + w - 1) * c + c - 1] = f64::NAN;
        let [wanted, _] = case.reference(&spoiled, &g);
        assert!(wanted.iter().any(|v| v.is_nan()));
        for dtype in dtypes() {
            let [got, _] = case.run(&spoiled, &g, dtype).map(|t| download(&t));
            let [before, _] = case.run(&clean, &g, dtype).map(|t| download(&t));
            for (i, wanted) in wanted.iter().enumerate() {
                match wanted.is_nan() {
                    true => assert!(got[i].is_nan(), "element {i}: {}", got[i]),
                    false => assert_eq!(got[i].to_bits(), before[i].to_bits(), "element {i}"),
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_spoils_its_own_channel_around_it_and_nothing_else() {
    for case in several() {
        let [input, output] = case.lens();
        let (x, clean) = (reals(3, input), reals(4, output));
        let mut spoiled = clean.clone();
        spoiled[output / 2] = f64::INFINITY;
        let [_, wanted] = case.reference(&x, &spoiled);
        assert!(wanted.iter().any(|v| !v.is_finite()));
        for dtype in dtypes() {
            let [_, got] = case.run(&x, &spoiled, dtype).map(|t| download(&t));
            let [_, before] = case.run(&x, &clean, dtype).map(|t| download(&t));
            for (i, wanted) in wanted.iter().enumerate() {
                match wanted.is_finite() {
                    true => assert_eq!(got[i].to_bits(), before[i].to_bits(), "element {i}"),
                    false => assert!(!got[i].is_finite(), "element {i}: {}", got[i]),
                }
            }
        }
    }
}

#[test]
fn a_pixel_that_a_million_outputs_read_gets_the_sum_of_their_gradients() {
    if !finishes_loops("a million outputs of one pixel", 1_000_000) {
        return;
    }
    let (count, tenth) = (1_000_000, f64::from(0.1f32));
    for alignment in [Alignment::HalfPixel, Alignment::Corners] {
        let case = Case {
            input: [1, 1, 1, 1],
            size: [1000, 1000],
            alignment,
        };
        let [_, got] = case.run(&[1.0], &vec![tenth; count], DType::F32);
        let wanted = [tenth * count as f64];
        assert_near("gradient", &got, &wanted, &wanted, 256.0);
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for case in several() {
        let [input, output] = case.lens();
        let (x, g) = (reals(7, input), reals(8, output));
        for dtype in dtypes() {
            case.run(&x, &g, dtype)
                .iter()
                .for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core("hostile::one_core_gives_the_same_bits_as_all", &fingerprint);
}
