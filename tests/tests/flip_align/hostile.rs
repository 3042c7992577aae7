//! Zeros, values that are not finite, extreme magnitudes and temperatures, edge shapes.

use crate::case::{Case, Found, NORMALISATIONS, options, selections};
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, Group, Normalisation, Selection, Transform,
};
use ghostlight_tests::{dtypes, dtypes_with_exp};

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn all_finite(found: &Found) -> bool {
    let all = [&found.loss, &found.grad, &found.distances, &found.weights];
    all.iter()
        .all(|values| values.iter().all(|v| v.is_finite()))
}

#[test]
fn a_value_that_is_not_finite_spoils_its_own_sample_alone() {
    for normalisation in NORMALISATIONS {
        for selection in selections(normalisation, 0.5) {
            let clean = Case::new(
                [3, 3, 3, 5],
                1,
                options(Group::D4, selection, normalisation),
            );
            let before = Found::of(&clean.launch(DType::F32));
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for in_teacher in [false, true] {
                    let mut case = clean.clone();
                    let map = if in_teacher {
                        &mut case.teacher
                    } else {
                        &mut case.student
                    };
                    map[45 + 7] = value;
                    let found = Found::of(&case.launch(DType::F32));
                    let normalised = normalisation != Normalisation::None;
                    if value.is_nan() || normalised {
                        assert!(found.loss[1].is_nan(), "{:?}: {found:?}", case.options);
                    } else {
                        assert!(!found.loss[1].is_finite(), "{:?}: {found:?}", case.options);
                    }
                    let soft = selection != Selection::Hard;
                    if normalisation == Normalisation::Sample || value.is_nan() && soft {
                        assert!(found.grad[45..90].iter().all(|g| g.is_nan()));
                    }
                    for n in [0, 2] {
                        assert_eq!(found.loss[n].to_bits(), before.loss[n].to_bits());
                        let span = n * 45..(n + 1) * 45;
                        assert_eq!(bits(&found.grad[span.clone()]), bits(&before.grad[span]));
                        let row = n * 8..(n + 1) * 8;
                        assert_eq!(
                            bits(&found.distances[row.clone()]),
                            bits(&before.distances[row])
                        );
                        assert_eq!(found.chosen[n], before.chosen[n]);
                    }
                }
            }
        }
    }
}

#[test]
fn a_distance_that_is_not_a_number_is_the_smallest() {
    // Where the transform moves one infinity onto the other their difference is NaN, elsewhere the distance is infinite.
    for place in 0..4 {
        let mut case = Case::new(
            [1, 2, 2, 1],
            1,
            options(Group::D4, Selection::Hard, Normalisation::None),
        );
        case.student[0] = f64::INFINITY;
        case.teacher[place] = f64::INFINITY;
        let wanted = case.reference();
        assert!(wanted.loss[0].is_nan(), "{wanted:?}");
        for dtype in dtypes() {
            let found = Found::of(&case.launch(dtype));
            assert!(found.loss[0].is_nan(), "{found:?}");
            assert_eq!(found.chosen, wanted.chosen, "{found:?}");
        }
    }
}

#[test]
fn maps_of_zeros_have_no_direction_and_no_nan() {
    for normalisation in NORMALISATIONS {
        for selection in selections(normalisation, 0.5) {
            let mut case = Case::new(
                [4, 3, 3, 5],
                1,
                options(Group::D4, selection, normalisation),
            );
            // Student zero, teacher zero, both zero, neither.
            case.student[..45].fill(0.0);
            case.teacher[45..90].fill(0.0);
            case.student[90..135].fill(0.0);
            case.teacher[90..135].fill(0.0);
            let wanted = case.reference();
            for dtype in dtypes_with_exp() {
                let found = Found::of(&case.launch(dtype));
                assert!(all_finite(&found), "{found:?}");
                assert_eq!(found.distances[16..24], [0.0; 8]);
                assert_eq!(found.loss[2], 0.0);
                assert_eq!(found.chosen[2], Transform::IDENTITY);
                // All distances of a student of zeros are the teacher's norm, but for the order of the sum: any may be the least.
                let tied = normalisation == Normalisation::None && selection == Selection::Hard;
                let compared = if tied { 45 } else { 0 };
                for (got, wanted) in found.grad.iter().zip(&wanted.grad).skip(compared) {
                    assert!((got - wanted).abs() < 1e-5, "{got}, wanted {wanted}");
                }
                if normalisation != Normalisation::None {
                    assert!(found.distances[..16].iter().all(|d| (d - 1.0).abs() < 1e-6));
                    assert_eq!(found.grad[..45], [0.0; 45]);
                    assert!(found.grad[45..135].iter().all(|g| g.abs() < 1e-6));
                }
            }
        }
    }
}

#[test]
fn positions_of_zeros_as_relu_leaves_them_agree_with_the_reference() {
    for selection in selections(Normalisation::Position, 0.3) {
        let mut case = Case::new(
            [2, 4, 4, 6],
            2,
            options(Group::D4, selection, Normalisation::Position),
        );
        for (i, pixel) in case.student.chunks_mut(6).enumerate() {
            if i % 3 == 0 {
                pixel.fill(0.0);
            }
        }
        for (i, pixel) in case.teacher.chunks_mut(6).enumerate() {
            if i % 4 == 1 {
                pixel.fill(0.0);
            }
        }
        let wanted = case.reference();
        for dtype in dtypes_with_exp() {
            let found = Found::of(&case.launch(dtype));
            assert!(all_finite(&found));
            for (got, wanted) in found.distances.iter().zip(&wanted.distances) {
                assert!((got - wanted).abs() < 1e-6, "{got}, wanted {wanted}");
            }
            for (got, wanted) in found.grad.iter().zip(&wanted.grad) {
                assert!((got - wanted).abs() < 1e-5, "{got}, wanted {wanted}");
            }
        }
    }
}

#[test]
fn magnitudes_from_tiny_to_huge_agree_with_the_reference() {
    for (scale, normalisation) in [
        (1e4, Normalisation::None),
        (1e-4, Normalisation::None),
        (1e17, Normalisation::Sample),
        (1e-16, Normalisation::Sample),
        (1e17, Normalisation::Position),
        (1e-16, Normalisation::Position),
    ] {
        for selection in selections(normalisation, 0.5) {
            let mut case = Case::new(
                [2, 3, 3, 6],
                4,
                options(Group::D4, selection, normalisation),
            );
            for value in &mut case.student {
                *value = f64::from((*value * scale) as f32);
            }
            let (found, wanted) = (Found::of(&case.launch(DType::F32)), case.reference());
            for (got, wanted) in found.distances.iter().zip(&wanted.distances) {
                assert!(
                    (got / wanted - 1.0).abs() < 1e-5,
                    "{scale}: {got}, wanted {wanted}"
                );
            }
            let largest = wanted.grad.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            assert!(largest > 0.0);
            for (got, wanted) in found.grad.iter().zip(&wanted.grad) {
                assert!(
                    (got - wanted).abs() < 1e-4 * largest,
                    "{scale}: {got}, wanted {wanted}"
                );
            }
        }
    }
}

#[test]
fn a_norm_that_overflows_is_not_silently_a_zero_map() {
    for normalisation in [Normalisation::Sample, Normalisation::Position] {
        let mut case = Case::new(
            [2, 2, 2, 3],
            4,
            options(Group::D4, Selection::Hard, normalisation),
        );
        case.student[0] = 1e30;
        let found = Found::of(&case.launch(DType::F32));
        assert!(
            found.loss[0].is_nan() && found.loss[1].is_finite(),
            "{found:?}"
        );
    }
}

#[test]
fn temperatures_from_a_thousandth_to_ten_thousand_give_finite_results() {
    for normalisation in NORMALISATIONS {
        for tau in [1e-3, 0.1, 1.0, 100.0, 1e4] {
            for selection in selections(normalisation, tau) {
                let case = Case::new(
                    [2, 4, 4, 5],
                    3,
                    options(Group::D4, selection, normalisation),
                );
                let (found, wanted) = (Found::of(&case.launch(DType::F32)), case.reference());
                assert!(all_finite(&found), "{selection:?}: {found:?}");
                for row in found.weights.chunks(8) {
                    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{row:?}");
                }
                // The weights of a sharp softmax magnify the rounding of the distances.
                let allowed = 2e-6 * (1.0 + 0.1 / tau);
                for (got, wanted) in found.loss.iter().zip(&wanted.loss) {
                    assert!(
                        (got - wanted).abs() <= allowed,
                        "{selection:?}: {got}, wanted {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn maps_of_one_pixel_one_row_and_one_channel_agree_with_the_reference() {
    for (shape, group) in [
        ([3, 1, 1, 5], Group::D4),
        ([3, 1, 1, 1], Group::Rotations),
        ([2, 1, 7, 3], Group::Flips),
        ([2, 6, 1, 12], Group::Flips),
        ([1, 5, 2, 1], Group::Fixed(Transform::HALF_TURN)),
        ([1, 2, 2, 100], Group::D4),
        ([1, 2, 2, 36], Group::D4),
    ] {
        let base = FlipOptions {
            group,
            ..FlipOptions::default()
        };
        let case = Case::new(shape, 6, base);
        let wanted = case.reference();
        for dtype in dtypes() {
            let found = Found::of(&case.launch(dtype));
            for (got, wanted) in found.distances.iter().zip(&wanted.distances) {
                assert!(
                    (got - wanted).abs() < 2e-6,
                    "{shape:?}: {got}, wanted {wanted}"
                );
            }
            for (got, wanted) in found.grad.iter().zip(&wanted.grad) {
                assert!(
                    (got - wanted).abs() < 2e-5,
                    "{shape:?}: {got}, wanted {wanted}"
                );
            }
            if shape[1..3] == [1, 1] {
                assert_eq!(found.chosen, vec![Transform::IDENTITY; shape[0]]);
            }
        }
    }
}
