//! Logits, labels and options at the edge of what is allowed, and past it.

use crate::case::{Case, assert_near};
use ghostlight_kernels::loss::dual_teacher::{
    DualTeacherOptions, Rule, Scope, Thresholds, Weighed, weigh,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, cases, client, download,
    dtypes_with_exp, upload,
};
use proptest::prelude::*;

#[test]
fn hostile_but_finite_logits_give_finite_results() {
    for classes in [2, 3, 10, 1000] {
        for temperature in [0.1, 1.0, 100.0] {
            for scale in [0.0, 1e-30, 1.0, 1e4] {
                let mut case = Case::random(2, 4, classes, 1.0, temperature);
                let logits = case.teachers.iter_mut().chain([&mut case.student]);
                logits
                    .flatten()
                    .for_each(|v| *v = f64::from((*v * scale) as f32));
                // The first label far above all others, the second far below, the third network pair in opposition.
                let label = |n: usize| n * classes + case.labels[n] as usize;
                let (above, below, apart) = (label(0), label(1), label(2));
                case.student[above] = scale;
                case.student[below] = -scale;
                (case.student[apart], case.teachers[0][apart]) = (scale, -scale);
                let what = format!("{classes} classes, T {temperature}, scale {scale}");
                let found = case.run(DType::F32);
                let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
                assert!(finite(&found.grad) && finite(&found.weights), "{what}");
                assert!(
                    found.loss.iter().all(|v| v.is_finite() && *v >= 0.0),
                    "{what}"
                );
                let chosen = [found.weights[2], found.weights[3]];
                let wanted = case.reference(Some(chosen));
                for (got, wanted) in found.loss.iter().zip(&wanted.loss) {
                    let allowed = 1e-4 * wanted + 2e-6 * case.units().0;
                    assert!(
                        (got - wanted).abs() <= allowed,
                        "{what}: {got}, wanted {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_confident_sample_keeps_the_digits_of_its_cross_entropy() {
    let mut case = Case::random(1, 1, 2, 1.0, 5.0);
    case.student = vec![50.0, 0.0];
    case.teachers = [vec![0.0; 2], vec![0.0; 2]];
    (case.literals().low, case.literals().high) = (1.0, 1.0);
    let found = case.run(DType::F32);
    let wanted = (-50f64).exp();
    for (got, wanted) in [
        (found.loss[0], wanted),
        (found.grad[0], -wanted),
        (found.grad[1], wanted),
    ] {
        assert!((got / wanted - 1.0).abs() < 1e-5, "{got}, wanted {wanted}");
    }
}

#[test]
fn a_vocabulary_of_classes_agrees_with_the_reference() {
    let case = Case::random(3, 2, 131_072, 8.0, 5.0);
    let found = case.run(DType::F32);
    let wanted = case.reference(Some([found.weights[2], found.weights[3]]));
    for (got, wanted) in found.loss.iter().zip(&wanted.loss) {
        assert!((got / wanted - 1.0).abs() < 1e-5, "{got}, wanted {wanted}");
    }
    for (got, wanted) in found.weights.iter().zip(&wanted.weights[..2]) {
        assert!((got / wanted - 1.0).abs() < 1e-5, "{got}, wanted {wanted}");
    }
    let largest = wanted.grad.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert_near("gradient", &found.grad, &wanted.grad, 1e-6 * largest);
}

#[test]
fn a_student_logit_that_is_not_finite_spoils_its_own_row_alone() {
    for dtype in dtypes_with_exp() {
        for classes in [2, 3, 10, 16, 35] {
            let clean = Case::random(2, 3, classes, 4.0, 2.0);
            let before = clean.run(dtype);
            let label = clean.labels[1] as usize;
            for class in [label, (label + 1) % classes, classes - 1] {
                for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let mut case = clean.clone();
                    case.student[classes + class] = value;
                    let after = case.run(dtype);
                    let what = format!("{value} at {class} of {classes}");
                    assert_eq!(after.weights, before.weights, "{what}");
                    assert!(after.loss[1].is_nan(), "{what}: {:?}", after.loss);
                    let spoilt = &after.grad[classes..2 * classes];
                    assert!(spoilt.iter().all(|g| g.is_nan()), "{what}: {spoilt:?}");
                    for row in [0, 2] {
                        let span = row * classes..(row + 1) * classes;
                        assert_eq!(after.loss[row], before.loss[row], "{what}");
                        assert_eq!(after.grad[span.clone()], before.grad[span], "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_teacher_logit_that_is_not_finite_spoils_the_batch_and_never_passes_for_confidence() {
    for dtype in dtypes_with_exp() {
        for (classes, class) in [(2, 0), (10, 9), (35, 3)] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for teacher in [0, 1] {
                    let mut case = Case::random(2, 3, classes, 4.0, 2.0);
                    case.teachers[teacher][classes + class] = value;
                    let found = case.run(dtype);
                    let nan: Vec<bool> = found.weights.iter().map(|w| w.is_nan()).collect();
                    assert_eq!(nan, [teacher == 0, teacher == 1, true, true], "{value}");
                    if value.is_nan() {
                        let wanted = case.reference(None).weights;
                        assert!(wanted.iter().map(|w| w.is_nan()).eq(nan), "{wanted:?}");
                    }
                    assert!(found.loss.iter().chain(&found.grad).all(|v| v.is_nan()));
                }
            }
        }
    }
}

#[test]
fn a_teacher_logit_that_is_not_finite_spoils_its_own_row_alone_where_samples_are_weighed() {
    for rule in [Rule::Proportional, Rule::Thresholds(Thresholds::default())] {
        for (classes, class) in [(2, 0), (10, 9), (35, 3)] {
            let mut clean = Case::random(2, 3, classes, 4.0, 2.0).by_sample();
            clean.options.rule = rule;
            let before = clean.run(DType::F32);
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut case = clean.clone();
                case.teachers[1][classes + class] = value;
                let after = case.run(DType::F32);
                assert!(after.loss[1].is_nan() && after.weights[7].is_nan());
                for row in [0, 2] {
                    let span = row * classes..(row + 1) * classes;
                    assert_eq!(after.loss[row], before.loss[row], "{value}");
                    assert_eq!(after.grad[span.clone()], before.grad[span], "{value}");
                }
                let spoilt = &after.grad[classes..2 * classes];
                assert!(spoilt.iter().all(|g| g.is_nan()), "{spoilt:?}");
            }
        }
    }
}

#[test]
fn refusals_come_in_the_documented_order() {
    let client = client();
    let of = |shape: &[usize], dtype| Tensor::zeros(&client, shape, dtype);
    let mut literals = Thresholds {
        low: -1.0,
        high: 1.5,
        minimum: f64::NAN,
        even: -0.5,
        lesser: 2.0,
        greater: f64::INFINITY,
    };
    let mut temperature = 0.0;
    let (f32, f64) = (DType::F32, DType::F64);
    let good = of(&[2, 3], f32);
    let window = of(&[2, 4], f32).window(1, 3).unwrap();
    let is_window = |result: Result<Weighed, _>, name| {
        let error = result.map(|_| ()).unwrap_err();
        let ghostlight_kernels::KernelError::Window { tensor, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(tensor, name);
    };
    // Each line repairs what the line before it was refused for.
    let refuse = |a: &Tensor, b: &Tensor, temperature: f64, literals: Thresholds| {
        let options = DualTeacherOptions {
            temperature,
            rule: Rule::Thresholds(literals),
            scope: Scope::Batch,
        };
        weigh(a, b, &options)
    };
    let bad = |a: &Tensor, b: &Tensor| refuse(a, b, temperature, literals);
    assert_refuses_shape(bad(&of(&[6], f32), &of(&[2, 4], f64)), "first", &[6]);
    is_window(bad(&window, &of(&[2, 4], f64)), "first");
    assert_refuses_shape(bad(&good, &of(&[2, 4], f64)), "second", &[2, 4]);
    assert_refuses_dtype(bad(&good, &of(&[2, 3], f64)), "second", f64);
    is_window(bad(&good, &window), "second");
    let one = of(&[2, 1], f32);
    assert_refuses_range(bad(&one, &one), "number of classes", 1);
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e25, 1e-42] {
        let found = refuse(&good, &good, wrong, literals);
        assert_refuses_range(found, "temperature", wrong);
    }
    temperature = 5.0;
    let refuse = |literals: Thresholds| refuse(&good, &good, temperature, literals);
    assert_refuses_range(refuse(literals), "low", -1);
    literals.low = 0.75;
    assert_refuses_range(refuse(literals), "high", 1.5);
    literals.high = 0.5;
    assert_refuses_range(refuse(literals), "minimum", "NaN");
    literals.minimum = 0.0;
    assert_refuses_range(refuse(literals), "even", -0.5);
    literals.even = 1.0;
    assert_refuses_range(refuse(literals), "lesser", 2);
    literals.lesser = 0.0;
    assert_refuses_range(refuse(literals), "greater", "inf");
    literals.greater = 1.0;
    assert_refuses_range(refuse(literals), "low", 0.75);
    literals.low = 0.5;
    assert!(refuse(literals).is_ok());
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn no_problem_panics(
        shapes in [prop::collection::vec(0usize..4, 0..4), prop::collection::vec(0usize..4, 0..4)],
        alike in any::<bool>(),
        literals in prop::array::uniform7(prop_oneof![any::<f64>(), 0.0f64..1.0]),
        (proportional, by_sample) in any::<(bool, bool)>(),
    ) {
        let [first, second] = shapes;
        let second = if alike { first.clone() } else { second };
        let of = |shape: &[usize]| upload(&vec![0.5; shape.iter().product()], shape, DType::F32);
        let [temperature, low, high, minimum, even, lesser, greater] = literals;
        let thresholds = Thresholds { low, high, minimum, even, lesser, greater };
        let rule = if proportional { Rule::Proportional } else { Rule::Thresholds(thresholds) };
        let scope = if by_sample { Scope::Sample } else { Scope::Batch };
        let options = DualTeacherOptions { temperature, rule, scope };
        if let Ok(found) = weigh(&of(&first), &of(&second), &options) {
            let found = [download(&found.weights), download(&found.factors)].concat();
            prop_assert!(found.iter().all(|w| (0.0..=1.0).contains(w)), "{found:?}");
        }
    }
}
