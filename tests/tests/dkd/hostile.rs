//! Logits, labels and options at the edge of what is allowed, and past it.

use crate::case::{Case, assert_near, bits, options};
use ghostlight_kernels::loss::dkd::{DkdOptions, dkd};
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::{client, dtypes_with_exp};

#[test]
fn a_target_logit_far_above_the_rest_keeps_the_loss_finite() {
    let case = Case {
        classes: 4,
        student: vec![120.0, 0.0, 0.0, 0.0],
        teacher: vec![1.0, 2.0, 3.0, 4.0],
        labels: vec![0],
        options: options(1.0),
    };
    for dtype in dtypes_with_exp() {
        let (loss, grad) = case.run(dtype);
        assert_near(&loss, &[117.0775], 5e-5);
        assert_near(&grad, &[0.9679, 1.6238, 0.3862, -2.9779], 5e-5);
    }
}

#[test]
fn hostile_but_finite_logits_give_finite_results() {
    for classes in [2, 3, 10, 1000] {
        for temperature in [0.1, 1.0, 100.0] {
            for scale in [0.0, 1e-30, 1.0, 1e4] {
                let mut case = Case::spread(4, classes, scale, options(temperature));
                // The first label far above all others, the second far below, the third network pair in opposition.
                let target = |n: usize| n * classes + case.labels[n] as usize;
                let (above, below, apart) = (target(0), target(1), target(2));
                case.student[above] = scale;
                case.student[below] = -scale;
                (case.student[apart], case.teacher[apart]) = (scale, -scale);
                let (loss, grad) = case.run(DType::F32);
                assert!(loss.iter().all(|v| v.is_finite() && *v >= 0.0), "{loss:?}");
                assert!(
                    grad.iter().all(|v| v.is_finite()),
                    "{classes} {temperature} {scale}"
                );
                let (wanted, _) = case.reference();
                for (got, wanted) in loss.iter().zip(wanted) {
                    let tolerance = 1e-4 * wanted + 1e-6 * case.units().0;
                    assert!((got - wanted).abs() <= tolerance, "{got}, wanted {wanted}");
                }
            }
        }
    }
}

#[test]
fn a_vocabulary_of_classes_agrees_with_the_reference() {
    let case = Case::spread(2, 131_072, 8.0, options(4.0));
    let ((loss, grad), (wanted_loss, wanted_grad)) = (case.run(DType::F32), case.reference());
    for (got, wanted) in loss.iter().zip(wanted_loss) {
        assert!((got / wanted - 1.0).abs() < 1e-4, "{got}, wanted {wanted}");
    }
    let largest = wanted_grad.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert_near(&grad, &wanted_grad, 1e-4 * largest);
}

#[test]
fn a_logit_that_is_not_finite_spoils_its_own_row_alone() {
    for (dtype, classes) in [
        (DType::F32, 16),
        (DType::F32, 10),
        (DType::F64, 3),
        (DType::F32, 2),
    ] {
        if !dtypes_with_exp().contains(&dtype) {
            continue;
        }
        let clean = Case::spread(3, classes, 5.0, options(4.0));
        let (clean_loss, clean_grad) = clean.run(dtype);
        let target = clean.labels[1] as usize;
        for class in [target, (target + 1) % classes] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for in_teacher in [false, true] {
                    let mut case = clean.clone();
                    let logits = if in_teacher {
                        &mut case.teacher
                    } else {
                        &mut case.student
                    };
                    logits[classes + class] = value;
                    let (loss, grad) = case.run(dtype);
                    assert!(loss[1].is_nan(), "{loss:?} for {value} at {class}");
                    assert!(
                        grad[classes..2 * classes].iter().all(|g| g.is_nan()),
                        "{grad:?}"
                    );
                    for row in [0, 2] {
                        let span = row * classes..(row + 1) * classes;
                        assert_eq!(loss[row].to_bits(), clean_loss[row].to_bits());
                        assert_eq!(bits(&grad[span.clone()]), bits(&clean_grad[span]));
                    }
                }
            }
        }
    }
}

#[test]
fn an_empty_batch_gives_empty_tensors() {
    let out = Case::spread(0, 10, 1.0, options(4.0)).launch(DType::F32);
    assert_eq!(
        (out.loss.shape(), out.grad.shape()),
        (&[0][..], &[0, 10][..])
    );
    assert_eq!(out.grad.to_f32().unwrap(), Vec::<f32>::new());
}

#[test]
fn a_label_out_of_range_is_named_with_its_sample() {
    let error = Labels::new(&client(), &[3, 4, 1], 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "labels: label 4 of sample 1 is out of range, wanted 0..4"
    );
}

#[test]
fn refusals_come_in_the_documented_order() {
    let client = client();
    let of = |shape: &[usize], dtype| Tensor::zeros(&client, shape, dtype);
    let labels = |count: usize, classes| Labels::new(&client, &vec![0; count], classes).unwrap();
    let bad = DkdOptions {
        alpha: -1.0,
        beta: f64::NAN,
        temperature: 0.0,
        weight: -2.0,
    };
    let (f32, f64) = (DType::F32, DType::F64);
    let refuse = |student: &Tensor, teacher: &Tensor, labels: &Labels, options: DkdOptions| {
        dkd(student, teacher, labels, &options)
            .unwrap_err()
            .to_string()
    };
    let good = of(&[2, 3], f32);
    // Each line repairs what the line before it was refused for.
    let all_wrong = refuse(&of(&[6], f32), &of(&[2, 4], f64), &labels(3, 4), bad);
    assert_eq!(all_wrong, "dkd: student has shape [6], wanted [n, c]");
    let error = refuse(&good, &of(&[2, 4], f64), &labels(3, 4), bad);
    assert_eq!(error, "dkd: teacher has shape [2, 4], wanted [2, 3]");
    let error = refuse(&good, &of(&[2, 3], f64), &labels(3, 4), bad);
    assert_eq!(
        error,
        "dkd: teacher holds F64, wanted F32 beside the first argument"
    );
    let error = refuse(&good, &good, &labels(3, 4), bad);
    assert_eq!(
        error,
        "dkd: labels has shape [3], wanted [2], one label a row of logits"
    );
    let error = refuse(&good, &good, &labels(2, 4), bad);
    let wanted = "wanted as many as the logits have columns";
    assert_eq!(
        error,
        format!("dkd: number of classes of labels is 4, {wanted}")
    );
    let one = of(&[2, 1], f32);
    let error = refuse(&one, &one, &labels(2, 1), bad);
    assert_eq!(error, "dkd: number of classes is 1, wanted at least 2");
    let mut options = bad;
    for (parameter, value) in [
        ("temperature", "0"),
        ("alpha", "-1"),
        ("beta", "NaN"),
        ("weight", "-2"),
    ] {
        let error = refuse(&good, &good, &labels(2, 3), options);
        assert!(
            error.starts_with(&format!("dkd: {parameter} is {value}, wanted ")),
            "{error}"
        );
        match parameter {
            "temperature" => options.temperature = 1e3,
            "alpha" => options.alpha = 1e36,
            "beta" => options.beta = 8.0,
            _ => options.weight = 1.0,
        }
    }
    let error = refuse(&good, &good, &labels(2, 3), options);
    assert!(
        error.starts_with("dkd: weight alpha T^2 is 1000"),
        "{error}"
    );
    options.alpha = 1.0;
    assert!(dkd(&good, &good, &labels(2, 3), &options).is_ok());
}

#[test]
fn a_temperature_that_the_element_type_cannot_square_or_invert_is_refused() {
    for temperature in [-1.0, f64::NAN, f64::INFINITY, 1e25, 1e-42] {
        let case = Case::golden(1.0, 8.0, temperature);
        let (student, teacher, labels) = case.tensors(DType::F32);
        let error = dkd(&student, &teacher, &labels, &case.options)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("dkd: temperature is"), "{error}");
    }
}
