//! What the definition implies: isometry, bounds and limits of the selections, ties, digits of small distances.

use crate::case::{Case, Found, NORMALISATIONS, options, selections};
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::flip_align::reference::transformed;
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, Group, Normalisation, Selection, Transform,
};
use ghostlight_tests::{dtypes, narrow, reals};

/// `maps` with each sample's map transformed by `g`.
fn moved(g: Transform, maps: &[f64], [n, h, w, _]: [usize; 4]) -> Vec<f64> {
    maps.chunks(maps.len() / n)
        .flat_map(|map| transformed(g, map, [h, w]))
        .collect()
}

fn assert_close(what: &str, got: &[f64], wanted: &[f64], allowed: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (g - w).abs() <= allowed,
            "{what}, element {i}: {g}, wanted {w}"
        );
    }
}

#[test]
fn a_transformed_student_has_the_distances_in_another_order() {
    for normalisation in NORMALISATIONS {
        let shape = [3, 5, 5, 12];
        let case = Case::new(shape, 8, options(Group::D4, Selection::Hard, normalisation));
        for dtype in dtypes() {
            let before = Found::of(&case.launch(dtype));
            for h in Transform::ALL {
                let mut turned = case.clone();
                turned.student = moved(h, &case.student, shape);
                let after = Found::of(&turned.launch(dtype));
                for g in Transform::ALL {
                    // |g.(h.a) - t| is the distance of the product.
                    let product = g.after(h);
                    for n in 0..shape[0] {
                        let (got, wanted) = (
                            after.distances[n * 8 + g.code() as usize],
                            before.distances[n * 8 + product.code() as usize],
                        );
                        assert!(
                            (got / wanted - 1.0).abs() < 1e-5,
                            "{g} after {h}: {got}, wanted {wanted}"
                        );
                    }
                }
                // The student's gradient turns with it.
                assert_close(
                    "gradient",
                    &after.grad,
                    &moved(h, &before.grad, shape),
                    1e-6,
                );
                assert_close("loss", &after.loss, &before.loss, 1e-6);
            }
        }
    }
}

#[test]
fn a_student_that_is_a_transformed_teacher_is_recognised() {
    let shape = [2, 4, 4, 10];
    for h in Transform::ALL {
        for normalisation in NORMALISATIONS {
            let mut case = Case::new(shape, 5, options(Group::D4, Selection::Hard, normalisation));
            case.student = moved(h, &case.teacher, shape);
            for dtype in dtypes() {
                let found = Found::of(&case.launch(dtype));
                assert_eq!(found.chosen, vec![h.inverse(); 2], "{normalisation:?}");
                let nothing = if normalisation == Normalisation::None {
                    0.0
                } else {
                    1e-12
                };
                assert_close("loss", &found.loss, &[0.0; 2], nothing);
                assert_close(
                    "gradient",
                    &found.grad,
                    &vec![0.0; found.grad.len()],
                    nothing.sqrt(),
                );
            }
        }
    }
}

#[test]
fn the_soft_minimum_lies_between_the_minimum_and_the_mean_and_grows_with_tau() {
    for normalisation in NORMALISATIONS {
        let mut last = [0.0; 4];
        for tau in [1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1e4, 1e6] {
            let soft = Selection::SoftMin { tau };
            let case = Case::new([4, 4, 4, 6], 6, options(Group::D4, soft, normalisation));
            let found = Found::of(&case.launch(DType::F32));
            for (n, loss) in found.loss.iter().map(|l| l * 4.0).enumerate() {
                let row = &found.distances[n * 8..(n + 1) * 8];
                let least = row.iter().copied().fold(f64::INFINITY, f64::min);
                let mean = row.iter().sum::<f64>() / 8.0;
                let rounding = 4.0 * f64::from(f32::EPSILON) * mean;
                assert!(
                    loss >= least - rounding && loss <= mean + rounding,
                    "{least} {loss} {mean}"
                );
                assert!(
                    loss >= last[n] - rounding,
                    "tau {tau}: {loss} after {}",
                    last[n]
                );
                last[n] = loss;
                if tau == 1e-3 {
                    // The minimum is missed by no more than tau ln 8.
                    assert!(
                        loss <= least + tau * 8f64.ln() + rounding,
                        "{loss}, wanted {least}"
                    );
                }
                if tau >= 1e4 {
                    // A naive -tau ln(mean exp) has lost its digits here: tau times the rounding of 1.
                    let allowed = rounding + mean * mean / tau;
                    assert!(
                        (loss - mean).abs() <= allowed,
                        "tau {tau}: {loss}, wanted {mean}"
                    );
                }
            }
        }
    }
}

#[test]
fn attention_goes_from_the_minimum_to_the_mean_and_mixed_maps_from_the_nearest_to_their_mean() {
    let loss = |selection| {
        let case = Case::new(
            [4, 4, 4, 6],
            6,
            options(Group::D4, selection, Normalisation::None),
        );
        Found::of(&case.launch(DType::F32))
    };
    let hard = loss(Selection::Hard);
    let means: Vec<f64> = hard
        .distances
        .chunks(8)
        .map(|d| d.iter().sum::<f64>() / 32.0)
        .collect();
    for detached in [false, true] {
        let cold = loss(Selection::Attention {
            tau: 1e-4,
            detached,
        });
        assert_close("cold attention", &cold.loss, &hard.loss, 1e-6);
        assert_close("cold gradient", &cold.grad, &hard.grad, 1e-6);
        let hot = loss(Selection::Attention { tau: 1e6, detached });
        assert_close("hot attention", &hot.loss, &means, 1e-6);
        assert_close("hot weights", &hot.weights, &[0.125; 32], 1e-6);
    }
    let cold = loss(Selection::Mixed { tau: 1e-4 });
    assert_close("cold mixture", &cold.loss, &hard.loss, 1e-6);
    let hot = loss(Selection::Mixed { tau: 1e6 });
    // The mean map is nearer than the maps are in the mean.
    assert!(
        hot.loss
            .iter()
            .zip(&means)
            .all(|(mixed, mean)| mixed < mean)
    );
}

#[test]
fn of_one_transform_every_selection_makes_its_distance() {
    for normalisation in NORMALISATIONS {
        for group in [
            Group::Identity,
            Group::Fixed(Transform::TURN_RIGHT),
            Group::Random { seed: 3 },
        ] {
            let hard = Case::new(
                [5, 3, 3, 7],
                1,
                options(group.clone(), Selection::Hard, normalisation),
            );
            let wanted = Found::of(&hard.launch(DType::F32));
            assert_eq!(wanted.weights, [1.0; 5]);
            assert_eq!(wanted.chosen, group.given(5).unwrap());
            for selection in selections(normalisation, 0.1) {
                let case = Case {
                    options: options(group.clone(), selection, normalisation),
                    ..hard.clone()
                };
                assert_eq!(Found::of(&case.launch(DType::F32)), wanted, "{selection:?}");
            }
        }
    }
}

#[test]
fn a_group_has_the_distances_that_its_transforms_have_in_d4() {
    for normalisation in NORMALISATIONS {
        let of = |group| {
            let case = Case::new(
                [3, 4, 4, 9],
                2,
                options(group, Selection::Hard, normalisation),
            );
            Found::of(&case.launch(DType::F32)).distances
        };
        let all = of(Group::D4);
        for group in [Group::Flips, Group::Rotations] {
            let choices = group.choices().unwrap();
            let wanted: Vec<f64> = (0..3)
                .flat_map(|n| choices.iter().map(move |g| n * 8 + g.code() as usize))
                .map(|i| all[i])
                .collect();
            assert_close("distances", &of(group), &wanted, 1e-6);
        }
        for g in Transform::ALL {
            let wanted: Vec<f64> = (0..3).map(|n| all[n * 8 + g.code() as usize]).collect();
            assert_close("distances", &of(Group::Fixed(g)), &wanted, 1e-6);
        }
    }
}

#[test]
fn ties_go_to_the_lowest_code() {
    for normalisation in NORMALISATIONS {
        for (size, group) in [(4, Group::D4), (3, Group::Flips), (5, Group::Rotations)] {
            let shape = [2, size, size, 6];
            let mut case = Case::new(
                shape,
                1,
                options(group.clone(), Selection::Hard, normalisation),
            );
            // A teacher that is the same everywhere is the same under every transform.
            let pixel = reals(9, 6);
            case.teacher = pixel.repeat(2 * size * size);
            for dtype in dtypes() {
                let found = Found::of(&case.launch(dtype));
                for row in found.distances.chunks(group.columns()) {
                    assert_eq!(row, vec![row[0]; group.columns()], "exact ties");
                }
                assert_eq!(found.chosen, [Transform::IDENTITY; 2]);
                let mut wanted = vec![0.0; 2 * group.columns()];
                wanted[0] = 1.0;
                wanted[group.columns()] = 1.0;
                assert_eq!(found.weights, wanted);
            }
        }
        // Of a teacher with left-right symmetry, a vertical flip ties with the half turn.
        let shape = [1, 4, 4, 3];
        let mut case = Case::new(
            shape,
            7,
            options(Group::Flips, Selection::Hard, normalisation),
        );
        let mirror = moved(Transform::HORIZONTAL, &case.teacher, shape);
        case.teacher = case
            .teacher
            .iter()
            .zip(&mirror)
            .map(|(a, b)| (a + b) / 2.0)
            .collect();
        case.teacher = narrow(&case.teacher);
        case.student = moved(Transform::VERTICAL, &case.teacher, shape);
        let found = Found::of(&case.launch(DType::F32));
        assert_eq!(found.distances[2], found.distances[3]);
        assert_eq!(found.chosen, [Transform::VERTICAL]);
    }
}

#[test]
fn nearly_equal_maps_keep_the_digits_of_their_distance() {
    let shape = [2, 6, 6, 32];
    for noise in [1e-2, 1e-3, 1e-4] {
        for normalisation in [Normalisation::Sample, Normalisation::Position] {
            let mut case = Case::new(shape, 3, options(Group::D4, Selection::Hard, normalisation));
            let step = reals(77, case.student.len());
            case.student = case
                .teacher
                .iter()
                .zip(step)
                .map(|(t, s)| t + noise * s)
                .collect();
            case.student = narrow(&case.student);
            let (found, wanted) = (Found::of(&case.launch(DType::F32)), case.reference());
            for n in 0..2 {
                let (got, wanted) = (found.distances[n * 8], wanted.distances[n * 8]);
                // 2 - 2 <a^, t^> would err by about the rounding unit, a hundred times this at the smallest noise.
                let allowed = 8.0 * f64::from(f32::EPSILON) * (wanted.sqrt() + wanted);
                assert!(
                    (got - wanted).abs() <= allowed,
                    "{noise} {normalisation:?}: {got}, wanted {wanted}"
                );
                assert!((got / wanted - 1.0).abs() < 2e-2, "{got}, wanted {wanted}");
            }
            assert_eq!(found.chosen, [Transform::IDENTITY; 2]);
        }
    }
}

#[test]
fn a_million_elements_keep_their_digits() {
    // One sum a lane over all positions would be off by some 1e-5 of its value.
    let shape = [1, 128, 128, 64];
    for normalisation in NORMALISATIONS {
        let mut case = Case::new(
            shape,
            3,
            options(Group::Identity, Selection::Hard, normalisation),
        );
        case.student = narrow(&vec![0.3; case.student.len()]);
        case.teacher = narrow(
            &case
                .teacher
                .iter()
                .map(|t| 0.7 + t / 1e3)
                .collect::<Vec<_>>(),
        );
        let (found, wanted) = (Found::of(&case.launch(DType::F32)), case.reference());
        let (got, wanted) = (found.loss[0], wanted.loss[0]);
        let allowed = if normalisation == Normalisation::None {
            2e-6
        } else {
            1e-3
        };
        assert!(
            (got / wanted - 1.0).abs() < allowed,
            "{normalisation:?}: {got}, wanted {wanted}"
        );
    }
}

#[test]
fn the_size_of_a_normalised_student_does_not_matter() {
    let case = Case::new([3, 4, 4, 10], 5, FlipOptions::default());
    let mut larger = case.clone();
    larger.student.iter_mut().for_each(|v| *v *= 1024.0);
    for dtype in dtypes() {
        let (one, other) = (
            Found::of(&case.launch(dtype)),
            Found::of(&larger.launch(dtype)),
        );
        assert_eq!(one.distances, other.distances);
        let shrunk: Vec<f64> = one.grad.iter().map(|g| g / 1024.0).collect();
        assert_eq!(other.grad, shrunk);
    }
}
