//! The kernel against the reference, on random problems.

use crate::case::{Case, Found, groups, options, selections};
use ghostlight_kernels::loss::flip_align::{
    Group, Normalisation, Selection, Transform, flip_align,
};
use ghostlight_kernels::{DType, launch};
use ghostlight_tests::{
    Fingerprint, GRADIENT, VALUE, Windowed, assert_exact, assert_launches, assert_near,
    assert_same_bits, assert_same_bits_on_one_core, cases, client, dtypes_with_exp, integers,
    naive,
};
use proptest::prelude::*;

fn dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(dtypes_with_exp())
}

fn problems() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![
        3 => 1usize..40,
        1 => prop::sample::select(&[36usize, 48, 60, 64, 100, 130][..]),
    ];
    let square = (1usize..9).prop_map(|s| [s, s]);
    let size = prop_oneof![3 => square, 1 => [1usize..9, 1usize..9]];
    let normalisation = prop::sample::select(&crate::case::NORMALISATIONS[..]);
    (
        1usize..6,
        size,
        channels,
        normalisation,
        -1.5f64..1.0,
        any::<u64>(),
    )
        .prop_flat_map(|(n, [h, w], c, normalisation, log10, seed)| {
            let tau = 10f64.powf(log10);
            let selection = prop::sample::select(selections(normalisation, tau));
            (groups(n, h == w, seed), selection).prop_map(move |(group, selection)| {
                Case::new([n, h, w, c], seed, options(group, selection, normalisation))
            })
        })
}

/// Whether two distances of a sample are so near that rounding may choose between them.
fn nearly_tied(distances: &[f64], allowed: f64) -> bool {
    let mut sorted = distances.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.len() > 1 && sorted[1] - sorted[0] <= 2.0 * allowed
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn random_problems_agree_with_the_reference(case in problems(), dtype in dtype()) {
        assert_agrees(&case, dtype);
    }
}

proptest! {
    // Each new combination of options is compiled when it is first met: few cases, one element type each.
    #![proptest_config(cases(12))]

    #[test]
    fn integers_in_powers_of_two_align_exactly(
        (n, side, c) in (0u32..3, 0u32..4, 0u32..6),
        seed: u64,
        dtype in dtype(),
    ) {
        assert_exactly_aligned([1 << n, 1 << side, 1 << side, 1 << c], seed, dtype);
    }

    #[test]
    fn windows_of_wider_maps_give_the_same_bits_as_whole_maps(
        case in problems(),
        gaps in [0usize..20, 0usize..20],
        dtype in dtype(),
    ) {
        // Where vectors must be aligned, other gaps make them narrower, and sums come in another order.
        let step = if client().properties().features.unaligned_io { 1 } else { 4 };
        let [before, after] = gaps.map(|gap| gap * step);
        let whole = case.launch(dtype);
        let student = Windowed::of(&case.student, &case.shape, dtype, before, after);
        let teacher = Windowed::of(&case.teacher, &case.shape, dtype, after, 3 * step);
        let out = flip_align(&student.window, &teacher.window, &case.options).unwrap();
        prop_assert_eq!(Found::of(&out), Found::of(&whole));
        student.assert_gaps_untouched("student");
        teacher.assert_gaps_untouched("teacher");
    }
}

/// Asserts that the kernel finds what the reference finds, to within rounding, and the same transform unless two are nearly tied.
fn assert_agrees(case: &Case, dtype: DType) {
    let n = case.shape[0];
    let (wanted, columns) = (case.reference(), case.options.group.columns());
    let (terms, magnitudes) = (case.elements(), case.magnitudes());
    let out = case.launch(dtype);
    let found = Found::of(&out);
    // Both maps are divided by rounded norms, and their difference is squared.
    let units = VALUE * naive(terms) + 4.0;
    assert_near(
        "distances",
        &out.distances,
        &wanted.distances,
        &magnitudes,
        units,
    );
    let unit = units
        * if dtype == DType::F64 {
            4.0 * f64::EPSILON
        } else {
            f64::from(f32::EPSILON)
        };
    // A weight moves by its distance's error over tau.
    let steepness = 1.0 + 2.0 / case.options.selection.tau().unwrap_or(1e30);
    let hard = case.options.selection == Selection::Hard;
    for i in 0..n {
        let row = i * columns..(i + 1) * columns;
        let most = magnitudes[row.clone()].iter().copied().fold(0.0, f64::max);
        let tied = nearly_tied(&wanted.distances[row.clone()], unit * most);
        assert!(
            tied || found.chosen[i] == wanted.chosen[i],
            "sample {i}: {found:?}, wanted {wanted:?}"
        );
        // Under attention an error of a distance comes back through the weights, times the distances over tau.
        let through_weights = 1.0 + steepness * most;
        let allowed = GRADIENT * unit * most * through_weights / n as f64;
        let near = |what: &str, got: f64, wanted: f64, allowed: f64| {
            let error = (got - wanted).abs();
            assert!(
                error <= allowed,
                "{what} of sample {i}: {got}, wanted {wanted} within {allowed:e}"
            );
        };
        near("loss", found.loss[i], wanted.loss[i], allowed);
        if hard && tied {
            continue;
        }
        for column in row {
            let exact = if hard {
                0.0
            } else {
                unit * (magnitudes[column] * steepness + 8.0)
            };
            near(
                "weight",
                found.weights[column],
                wanted.weights[column],
                exact,
            );
        }
        let span = i * terms..(i + 1) * terms;
        let (got, wanted) = (&found.grad[span.clone()], &wanted.grad[span]);
        let scale = wanted.iter().fold(0.0f64, |m, g| m.max(g.abs())) + gradient_scale(case, i);
        for (got, wanted) in got.iter().zip(wanted) {
            near(
                "gradient",
                *got,
                *wanted,
                GRADIENT * unit * scale * through_weights,
            );
        }
    }
}

/// Asserts that integer maps of powers of two of elements come to exactly what the reference gives.
fn assert_exactly_aligned(shape: [usize; 4], seed: u64, dtype: DType) {
    for group in [
        Group::D4,
        Group::Rotations,
        Group::Flips,
        Group::Random { seed },
        Group::Fixed(Transform::TURN_LEFT),
    ] {
        let mut case = Case::new(
            shape,
            1,
            options(group, Selection::Hard, Normalisation::None),
        );
        case.student = integers(seed, case.student.len());
        case.teacher = integers(!seed, case.teacher.len());
        let wanted = case.reference();
        let out = case.launch(dtype);
        assert_exact("distances", &out.distances, &wanted.distances);
        assert_exact("loss", &out.loss, &wanted.loss);
        assert_exact("gradient", &out.grad, &wanted.grad);
        assert_exact("weights", &out.weights, &wanted.weights);
        assert_eq!(out.chosen.to_transforms().unwrap(), wanted.chosen);
    }
}

/// The largest gradient that maps such as these could have: `2 / (N M)` times what both maps hold, over the smallest norm.
fn gradient_scale(case: &Case, sample: usize) -> f64 {
    let problem = case.problem();
    let span = sample * case.elements()..(sample + 1) * case.elements();
    let largest = |x: &[f64]| x.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let factor = 2.0 / (case.shape[0] * problem.divisor()) as f64;
    let (a, t) = (&case.student[span.clone()], &case.teacher[span]);
    let part = match case.options.normalisation {
        Normalisation::None => return factor * (largest(a) + largest(t)),
        Normalisation::Sample => case.elements(),
        Normalisation::Position => case.shape[3],
    };
    let norms = a
        .chunks(part)
        .map(|p| p.iter().map(|v| v * v).sum::<f64>().sqrt());
    2.0 * factor / norms.fold(f64::INFINITY, f64::min)
}

#[test]
fn large_odd_maps_agree_with_the_reference() {
    // On a GPU many cubes share a sample, a unit has several orbits, and the last cube has fewer than the others.
    for (selection, normalisation) in [
        (Selection::SoftMin { tau: 0.1 }, Normalisation::Sample),
        (Selection::Mixed { tau: 0.1 }, Normalisation::None),
        (Selection::Hard, Normalisation::Position),
    ] {
        let options = options(Group::D4, selection, normalisation);
        assert_agrees(&Case::new([2, 91, 91, 32], 5, options), DType::F32);
    }
}

#[test]
fn one_launch_of_a_cpu_does_it_all_and_an_empty_batch_needs_none() {
    let on_cpu = launch::is_cpu(&client());
    for normalisation in crate::case::NORMALISATIONS {
        for selection in selections(normalisation, 0.1) {
            for group in [Group::D4, Group::Random { seed: 1 }] {
                // Sums, choice and gradient, after norms where there are some, and sums and choice once more for the mixture.
                let chosen = group.choices().is_some();
                let mixed = chosen && matches!(selection, Selection::Mixed { .. });
                let all = match normalisation {
                    _ if on_cpu => 1,
                    Normalisation::None if mixed => 5,
                    Normalisation::None => 3,
                    Normalisation::Sample | Normalisation::Position => 4,
                };
                for (n, launches) in [(3, all), (0, 0)] {
                    let options = options(group.clone(), selection, normalisation);
                    let case = Case::new([n, 3, 3, 5], 1, options);
                    let [student, teacher] = case.tensors(DType::F32);
                    let out = assert_launches("flip_align", launches, || {
                        flip_align(&student, &teacher, &case.options).unwrap()
                    });
                    assert_eq!(out.loss.shape(), [n]);
                    assert_eq!(out.grad.shape(), [n, 3, 3, 5]);
                    assert_eq!(out.distances.shape(), [n, group.columns()]);
                    assert_eq!(out.weights.shape(), [n, group.columns()]);
                    assert_eq!(out.chosen.to_transforms().unwrap().len(), n);
                }
            }
        }
    }
}

#[test]
fn repeated_launches_give_the_same_bits() {
    for normalisation in crate::case::NORMALISATIONS {
        let soft = Selection::SoftMin { tau: 0.1 };
        let case = Case::new([5, 7, 7, 36], 1, options(Group::D4, soft, normalisation));
        let first = case.launch(DType::F32);
        for _ in 0..4 {
            let again = case.launch(DType::F32);
            assert_same_bits("loss", &again.loss, &first.loss);
            assert_same_bits("gradient", &again.grad, &first.grad);
            assert_same_bits("distances", &again.distances, &first.distances);
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for normalisation in crate::case::NORMALISATIONS {
        for selection in selections(normalisation, 0.3) {
            let case = Case::new(
                [5, 4, 4, 6],
                9,
                options(Group::D4, selection, normalisation),
            );
            let out = case.launch(DType::F32);
            for tensor in [&out.loss, &out.grad, &out.distances, &out.weights] {
                fingerprint.add(tensor);
            }
        }
    }
    assert_same_bits_on_one_core(
        "properties::one_core_gives_the_same_bits_as_all",
        &fingerprint,
    );
}
