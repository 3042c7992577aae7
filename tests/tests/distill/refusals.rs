//! What is refused before anything is launched.

use crate::case::all;
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions};
use ghostlight_kernels::loss::distill::{DistillOptions, Mixed, TeacherTerms, distill};
use ghostlight_kernels::loss::kd::{KdOptions, kd};
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::client;
use proptest::prelude::*;
use std::slice::from_ref;

fn zeros(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(&client(), shape, dtype)
}

fn labels(count: usize, classes: usize) -> Labels {
    Labels::new(&client(), &vec![0; count], classes).expect("class 0 exists")
}

/// Makes one option wrong.
type Edit = fn(&mut DistillOptions);

#[test]
fn refusals_come_in_the_documented_order() {
    let (f32, f64) = (DType::F32, DType::F64);
    let mut options = all(0.0, -1.0);
    entropy_of(&mut options).smoothing = 1.0;
    entropy_of(&mut options).weight = -1.0;
    classical_of(&mut options).weight = -2.0;
    decoupled_of(&mut options).alpha = f64::NAN;
    options.teachers[0].cosine = Some(CosineOptions {
        between: Comparison::Softmaxes(-3.0),
        epsilon: 0.0,
        weight: -4.0,
    });
    let refuse = |student: &Tensor,
                  teachers: &[Tensor],
                  labels: Option<&Labels>,
                  factors: Option<&Tensor>,
                  options: &DistillOptions| {
        distill(student, teachers, labels, factors, options)
            .expect_err("something is wrong")
            .to_string()
    };
    let (good, one) = (zeros(&[2, 3], f32), zeros(&[2, 1], f32));
    let flat = zeros(&[6], f32);
    // Each line repairs what the line before it was refused for.
    let error = refuse(&flat, &[], None, None, &DistillOptions::default());
    assert_eq!(error, "distill: number of terms is 0, wanted at least 1");
    let five = DistillOptions {
        teachers: vec![options.teachers[0]; 5],
        ..options.clone()
    };
    let error = refuse(&flat, &[], None, None, &five);
    let wanted = "distill: number of teachers with terms is 5, wanted at most 4";
    assert_eq!(error, wanted);
    let error = refuse(&flat, &[], None, None, &options);
    assert_eq!(error, "distill: student has shape [6], wanted [n, c]");
    let error = refuse(&good, &[], None, None, &options);
    assert!(
        error.starts_with("distill: number of teachers is 0, wanted "),
        "{error}"
    );
    let wrong = [zeros(&[2, 4], f64)];
    let error = refuse(&good, &wrong, None, None, &options);
    assert_eq!(
        error,
        "distill: first teacher has shape [2, 4], wanted [2, 3]"
    );
    let two = DistillOptions {
        teachers: vec![TeacherTerms::default(), options.teachers[0]],
        ..options.clone()
    };
    let wrong = zeros(&[2, 3], f64);
    let error = refuse(&good, &[good.clone(), wrong], None, None, &two);
    assert!(
        error.starts_with("distill: second teacher holds F64, wanted F32"),
        "{error}"
    );
    let teachers = [good.clone()];
    let error = refuse(&good, &teachers, None, None, &options);
    assert!(
        error.starts_with("distill: labels is absent, wanted "),
        "{error}"
    );
    let error = refuse(&good, &teachers, Some(&labels(3, 4)), None, &options);
    assert!(
        error.starts_with("distill: labels has shape [3], wanted [2]"),
        "{error}"
    );
    let error = refuse(&good, &teachers, Some(&labels(2, 4)), None, &options);
    assert!(
        error.starts_with("distill: number of classes of labels is 4"),
        "{error}"
    );
    let error = refuse(&one, from_ref(&one), Some(&labels(2, 1)), None, &options);
    assert_eq!(error, "distill: number of classes is 1, wanted at least 2");
    let known = labels(2, 3);
    let share = 2.0;
    for (second, said) in [
        (labels(3, 4), "mixed labels has shape [3], wanted [2]"),
        (labels(2, 4), "number of classes of labels is 4"),
    ] {
        entropy_of(&mut options).mixed = Some(Mixed {
            labels: second,
            share,
        });
        let factors = zeros(&[7], f64);
        let error = refuse(&good, &teachers, Some(&known), Some(&factors), &options);
        assert!(error.starts_with(&format!("distill: {said}")), "{error}");
    }
    let second = labels(2, 3);
    entropy_of(&mut options).mixed = Some(Mixed {
        labels: second,
        share,
    });
    for shape in [&[3][..], &[1, 2], &[2, 3], &[2, 2, 1], &[]] {
        let factors = zeros(shape, f64);
        let error = refuse(&good, &teachers, Some(&known), Some(&factors), &options);
        assert!(
            error.starts_with(&format!(
                "distill: factors has shape {shape:?}, wanted [2] or [2, 2]"
            )),
            "{error}"
        );
    }
    for shape in [&[2][..], &[2, 2]] {
        let factors = zeros(shape, f64);
        let error = refuse(&good, &teachers, Some(&known), Some(&factors), &options);
        assert!(
            error.starts_with("distill: factors holds F64, wanted F32"),
            "{error}"
        );
    }
    let factors = zeros(&[2], f32);
    let steps: [(&str, Edit); 11] = [
        ("smoothing is 1,", |o| entropy_of(o).smoothing = 0.0),
        ("weight of the cross-entropy is -1,", |o| {
            entropy_of(o).weight = 1.0
        }),
        ("share of the mixed labels is 2,", |o| {
            entropy_of(o).mixed = None
        }),
        ("temperature is 0,", |o| classical_of(o).temperature = 4.0),
        ("weight is -2,", |o| classical_of(o).weight = 1e38),
        ("weight T^2 is 1", |o| classical_of(o).weight = 1.0),
        ("temperature is -1,", |o| decoupled_of(o).temperature = 4.0),
        ("alpha is NaN,", |o| decoupled_of(o).alpha = 1.0),
        ("temperature is -3,", |o| {
            cosine_of(o).between = Comparison::Rows
        }),
        ("epsilon is 0,", |o| cosine_of(o).epsilon = 1e-8),
        ("weight is -4,", |o| cosine_of(o).weight = 1.0),
    ];
    for (said, repair) in steps {
        let error = refuse(&good, &teachers, Some(&known), Some(&factors), &options);
        assert!(
            error.starts_with(&format!("distill: {said}")),
            "{error}, wanted {said}"
        );
        repair(&mut options);
    }
    assert!(distill(&good, &teachers, Some(&known), Some(&factors), &options).is_ok());
}

fn entropy_of(
    options: &mut DistillOptions,
) -> &mut ghostlight_kernels::loss::distill::CrossEntropyOptions {
    options.cross_entropy.as_mut().expect("there")
}

fn classical_of(options: &mut DistillOptions) -> &mut KdOptions {
    options.teachers[0].kd.as_mut().expect("there")
}

fn decoupled_of(options: &mut DistillOptions) -> &mut ghostlight_kernels::loss::dkd::DkdOptions {
    options.teachers[0].dkd.as_mut().expect("there")
}

fn cosine_of(options: &mut DistillOptions) -> &mut CosineOptions {
    options.teachers[0].cosine.as_mut().expect("there")
}

#[test]
fn classical_distillation_refuses_in_the_documented_order() {
    let bad = KdOptions {
        temperature: 0.0,
        weight: -1.0,
    };
    let refuse = |student: &Tensor, teacher: &Tensor, options: KdOptions| {
        kd(student, teacher, &options)
            .expect_err("something is wrong")
            .to_string()
    };
    let (good, one) = (zeros(&[2, 3], DType::F32), zeros(&[2, 1], DType::F32));
    let error = refuse(&zeros(&[6], DType::F32), &one, bad);
    assert_eq!(error, "kd: student has shape [6], wanted [n, c]");
    let error = refuse(&good, &one, bad);
    assert_eq!(error, "kd: teacher has shape [2, 1], wanted [2, 3]");
    let error = refuse(&one, &one, bad);
    assert_eq!(error, "kd: number of classes is 1, wanted at least 2");
    let error = refuse(&good, &good, bad);
    assert!(
        error.starts_with("kd: temperature is 0, wanted "),
        "{error}"
    );
    let temperature = 4.0;
    let error = refuse(&good, &good, KdOptions { temperature, ..bad });
    assert!(error.starts_with("kd: weight is -1, wanted "), "{error}");
    let weight = 1e38;
    let error = refuse(
        &good,
        &good,
        KdOptions {
            temperature,
            weight,
        },
    );
    assert!(error.starts_with("kd: weight T^2 is 16"), "{error}");
}

#[test]
fn windows_are_refused() {
    let window = zeros(&[2, 5], DType::F32)
        .window(1, 3)
        .expect("it lies within");
    let good = zeros(&[2, 3], DType::F32);
    for (student, teacher) in [(&window, &good), (&good, &window)] {
        let error = kd(student, teacher, &KdOptions::default()).expect_err("a window");
        assert!(error.to_string().contains("is a window"), "{error}");
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(256))]

    #[test]
    fn no_numbers_make_the_validation_panic(
        values in prop::array::uniform8(any::<f64>()),
        shape in prop::collection::vec(0usize..4, 0..4),
        classes in 1usize..4,
    ) {
        let [smoothing, a, b, c, d, e, f, g] = values;
        let mut options = all(a, b);
        (entropy_of(&mut options).smoothing, entropy_of(&mut options).weight) = (smoothing, c);
        classical_of(&mut options).weight = d;
        let decoupled = decoupled_of(&mut options);
        (decoupled.alpha, decoupled.beta, decoupled.weight) = (e, f, g);
        let student = zeros(&shape, DType::F32);
        let labels = labels(shape.first().copied().unwrap_or(0), classes);
        let (between, epsilon) = (Comparison::Softmaxes(a), b);
        options.teachers[0].cosine = Some(CosineOptions { between, epsilon, weight: c });
        // Numbers that pass must also compute, whatever they come to.
        let teachers = from_ref(&student);
        if let Ok(out) = distill(&student, teachers, Some(&labels), None, &options) {
            prop_assert_eq!(out.grad.shape(), &shape[..]);
            prop_assert!(out.grad.to_f32().is_ok());
        }
    }
}
