//! What holds for every resizing, and closed forms.

use super::case::{Case, alignments, case, cases, several};
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops::Bilinear;
use ghostlight_kernels::DType;
use ghostlight_kernels::resize::bilinear::{Alignment, bilinear, reference};
use ghostlight_tests::{
    GRADIENT, Windowed, abs, assert_checks, assert_exact, assert_launches, assert_near,
    assert_same_bits, download, dtypes, integers, reals, upload, with_halves,
};
use proptest::prelude::*;

/// Everything that a resizing promises on the tape.
fn assert_like_the_reference(case: &Case, seed: u64) {
    let problem = case.problem(DType::F64);
    // A mixture's weights are rounded too, and so are the products of two of them: a share near 1 leaves a small rest, which
    // differs by a unit of 1. An eighth of a unit of the largest value allows for that.
    let with_floor = |m: Vec<f64>| -> Vec<f64> {
        let floor = m.iter().fold(0.0, |a: f64, &b| a.max(b)) / 8.0;
        m.iter().map(|v| v + floor).collect()
    };
    let operation = Bilinear {
        output: case.size,
        alignment: case.alignment,
    };
    let check = Check::of(operation)
        .inputs([(reals(seed, case.lens()[0]), case.input.to_vec())])
        .reference(|x| reference::forward(&problem, &x[0]))
        .gradient(|_, grad| vec![reference::backward(&problem, grad)])
        .magnitude(|x, grad| {
            case.reference(&abs(&x[0]), &abs(grad))
                .map(with_floor)
                .into()
        })
        .linear_in(&[0])
        .terms(case.readers().max(4))
        .factor(2.0 * GRADIENT)
        .seed(seed)
        .dtypes(&with_halves(dtypes()));
    if let Some(checked) = assert_checks(check) {
        assert_eq!(checked.windows, [0]);
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(64))]

    #[test]
    fn values_and_gradients_are_the_references_to_within_rounding(case in cases(), seed: u32) {
        assert_like_the_reference(&case, seed.into());
    }

    #[test]
    fn integers_resized_by_powers_of_two_give_exactly_what_the_reference_gives(
        (n, h, w, c) in (0usize..3, 0u32..5, 0u32..5, 1usize..40),
        [oh, ow] in [0u32..5, 0u32..5],
        seed: u32,
    ) {
        let case = case([n, 1 << h, 1 << w, c], [1 << oh, 1 << ow], Alignment::HalfPixel);
        let [input, output] = case.lens();
        let (x, g) = (integers(seed.into(), input), integers(1, output));
        let wanted = case.reference(&x, &g);
        for dtype in dtypes() {
            let got = case.run(&x, &g, dtype);
            assert_exact("value", &got[0], &wanted[0]);
            assert_exact("gradient", &got[1], &wanted[1]);
        }
    }

    #[test]
    fn windows_of_larger_tensors_give_the_same_bits(case in cases(), before in 0usize..20, after in 0usize..20) {
        let [input, output] = case.lens();
        let (x, g) = (reals(1, input), reals(2, output));
        for dtype in dtypes() {
            let whole = case.run(&x, &g, dtype);
            let x = Windowed::of(&x, &case.input, dtype, before, after);
            let g = Windowed::of(&g, &case.output(), dtype, after, before);
            let windowed = case.apply(&x.window, &g.window);
            assert_same_bits("value", &whole[0], &windowed[0]);
            assert_same_bits("gradient", &whole[1], &windowed[1]);
        }
    }

    #[test]
    fn the_own_size_changes_nothing(shape in [0usize..3, 1usize..20, 1usize..20, 1usize..40], alignment in alignments()) {
        let x = reals(1, shape.iter().product());
        let case = case(shape, [shape[1], shape[2]], alignment);
        for dtype in dtypes() {
            let [y, grad] = case.run(&x, &x, dtype);
            assert_exact("value", &y, &x);
            assert_exact("gradient", &grad, &x);
        }
    }
}

#[test]
fn corners_are_as_the_reference_has_them() {
    for alignment in [Alignment::HalfPixel, Alignment::Corners] {
        for (name, input, size) in [
            ("one pixel to one", [1, 1, 1, 1], [1, 1]),
            ("one pixel to many", [2, 1, 1, 3], [5, 8]),
            ("many pixels to one", [2, 9, 8, 10], [1, 1]),
            ("a row", [2, 1, 37, 16], [3, 20]),
            ("a column", [2, 37, 1, 12], [100, 1]),
            (
                "a tenth, so that most pixels are unread",
                [1, 40, 50, 36],
                [4, 5],
            ),
            ("one more", [2, 13, 14, 60], [14, 15]),
            ("one less", [2, 14, 13, 100], [13, 12]),
            ("an empty batch", [0, 4, 4, 16], [8, 8]),
        ] {
            println!("{name}, {alignment:?}");
            let case = case(input, size, alignment);
            assert_like_the_reference(&case, 3);
        }
    }
}

#[test]
fn a_ramp_stays_a_ramp_between_aligned_corners() {
    // From 0..=12 along each axis to steps of a half: sums of few quarters, exact.
    let ramp = |side: usize, step: f64| -> Vec<f64> {
        (0..side * side)
            .map(|i| step * (8.0 * (i / side) as f64 - (i % side) as f64))
            .collect()
    };
    for dtype in dtypes() {
        let x = upload(&ramp(13, 1.0), &[1, 13, 13, 1], dtype);
        let y = bilinear(&x, [25, 25], Alignment::Corners).unwrap();
        let wanted = ramp(25, 0.5);
        assert_near("ramp", &y, &wanted, &abs(&wanted), 2.0);
        assert_eq!(download(&y)[624], 84.0, "corner");
    }
}

#[test]
fn resizing_a_mirrored_image_mirrors_the_result() {
    let mirror = |values: &[f64], w: usize, c: usize| -> Vec<f64> {
        values
            .chunks(w * c)
            .flat_map(|row| row.chunks(c).rev().flatten().copied())
            .collect()
    };
    for case in several() {
        let ([_, _, w, c], [input, output]) = (case.input, case.lens());
        let (x, g) = (reals(1, input), reals(2, output));
        for dtype in dtypes() {
            let [y, grad] = case.run(&x, &g, dtype).map(|t| download(&t));
            let (mx, mg) = (mirror(&x, w, c), mirror(&g, case.size[1], c));
            let mirrored = case.run(&mx, &mg, dtype);
            // The two ends round differently: what one end has as a small share, the other has as one minus it.
            let ones = |len| vec![1.0; len];
            assert_near(
                "value",
                &mirrored[0],
                &mirror(&y, case.size[1], c),
                &ones(output),
                8.0,
            );
            let readers = case.readers() as f64;
            assert_near(
                "gradient",
                &mirrored[1],
                &mirror(&grad, w, c),
                &ones(input),
                2.0 * readers,
            );
        }
    }
}

#[test]
fn each_phase_is_one_launch_and_an_empty_batch_none() {
    for (batch, launches) in [(2, 2), (0, 0)] {
        let dtype = dtypes()[0];
        for mut case in several() {
            case.input[0] = batch;
            let [input, output] = case.lens();
            let x = upload(&reals(1, input), &case.input, dtype);
            let g = upload(&reals(2, output), &case.output(), dtype);
            assert_launches("forward and backward", launches, || case.apply(&x, &g));
        }
    }
}
