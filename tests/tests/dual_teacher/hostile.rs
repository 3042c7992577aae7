//! Logits, labels and options at the edge of what is allowed, and past it.

use crate::case::{Case, assert_near, at};
use ghostlight_kernels::loss::dual_teacher::{DualTeacherOptions, Teachers, dual_teacher};
use ghostlight_kernels::{DType, Labels, Tensor};
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
    (case.options.low, case.options.high) = (1.0, 1.0);
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
fn refusals_of_teachers_come_in_the_documented_order() {
    let client = client();
    let of = |shape: &[usize], dtype| Tensor::zeros(&client, shape, dtype);
    let mut options = DualTeacherOptions {
        temperature: 0.0,
        low: -1.0,
        high: 1.5,
        minimum: f64::NAN,
        even: -0.5,
        lesser: 2.0,
        greater: f64::INFINITY,
    };
    let (f32, f64) = (DType::F32, DType::F64);
    let good = of(&[2, 3], f32);
    let window = of(&[2, 4], f32).window(1, 3).unwrap();
    let is_window = |result: Result<Teachers, _>, name| {
        let error = result.map(|_| ()).unwrap_err();
        let ghostlight_kernels::KernelError::Window { tensor, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(tensor, name);
    };
    // Each line repairs what the line before it was refused for.
    let weigh = |a: &Tensor, b: &Tensor, options| Teachers::weigh(a, b, &options);
    assert_refuses_shape(
        weigh(&of(&[6], f32), &of(&[2, 4], f64), options),
        "first",
        &[6],
    );
    is_window(weigh(&window, &of(&[2, 4], f64), options), "first");
    assert_refuses_shape(weigh(&good, &of(&[2, 4], f64), options), "second", &[2, 4]);
    assert_refuses_dtype(weigh(&good, &of(&[2, 3], f64), options), "second", f64);
    is_window(weigh(&good, &window, options), "second");
    let one = of(&[2, 1], f32);
    assert_refuses_range(weigh(&one, &one, options), "number of classes", 1);
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e25, 1e-42] {
        options.temperature = temperature;
        assert_refuses_range(weigh(&good, &good, options), "temperature", temperature);
    }
    options.temperature = 5.0;
    assert_refuses_range(weigh(&good, &good, options), "low", -1);
    options.low = 0.75;
    assert_refuses_range(weigh(&good, &good, options), "high", 1.5);
    options.high = 0.5;
    assert_refuses_range(weigh(&good, &good, options), "minimum", "NaN");
    options.minimum = 0.0;
    assert_refuses_range(weigh(&good, &good, options), "even", -0.5);
    options.even = 1.0;
    assert_refuses_range(weigh(&good, &good, options), "lesser", 2);
    options.lesser = 0.0;
    assert_refuses_range(weigh(&good, &good, options), "greater", "inf");
    options.greater = 1.0;
    assert_refuses_range(weigh(&good, &good, options), "low", 0.75);
    options.low = 0.5;
    assert!(weigh(&good, &good, options).is_ok());
}

#[test]
fn refusals_of_a_student_come_in_the_documented_order() {
    let client = client();
    let of = |shape: &[usize], dtype| Tensor::zeros(&client, shape, dtype);
    let labels = |count: usize, classes| Labels::new(&client, &vec![0; count], classes).unwrap();
    let good = of(&[2, 3], DType::F32);
    let teachers = Teachers::weigh(&good, &good, &at(5.0)).unwrap();
    let learn = |student: &Tensor, labels| dual_teacher(student, &teachers, &labels);
    let wrong = of(&[3, 3], DType::F64);
    assert_refuses_shape(learn(&wrong, labels(3, 4)), "student", &[3, 3]);
    let wrong = of(&[2, 3], DType::F64);
    assert_refuses_dtype(learn(&wrong, labels(3, 4)), "student", DType::F64);
    let window = of(&[2, 4], DType::F32).window(0, 3).unwrap();
    let error = learn(&window, labels(3, 4)).unwrap_err().to_string();
    assert!(
        error.starts_with("dual_teacher: student [2, 3] is a window"),
        "{error}"
    );
    assert_refuses_shape(learn(&good, labels(3, 4)), "labels", &[3]);
    let parameter = "number of classes of labels";
    assert_refuses_range(learn(&good, labels(2, 4)), parameter, 4);
    assert!(learn(&good, labels(2, 3)).is_ok());
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn no_problem_panics(
        shapes in [prop::collection::vec(0usize..4, 0..4), prop::collection::vec(0usize..4, 0..4)],
        alike in any::<bool>(),
        literals in prop::array::uniform7(prop_oneof![any::<f64>(), 0.0f64..1.0]),
    ) {
        let [first, second] = shapes;
        let second = if alike { first.clone() } else { second };
        let of = |shape: &[usize]| upload(&vec![0.5; shape.iter().product()], shape, DType::F32);
        let [temperature, low, high, minimum, even, lesser, greater] = literals;
        let options = DualTeacherOptions { temperature, low, high, minimum, even, lesser, greater };
        if let Ok(teachers) = Teachers::weigh(&of(&first), &of(&second), &options) {
            let weights = download(teachers.weights());
            prop_assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)), "{weights:?}");
        }
    }
}
