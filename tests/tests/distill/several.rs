//! Several teachers, cosines among the terms, and factors on the device.

use crate::case::{Case, all, assert_close, bits};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops::Distill;
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions};
use ghostlight_kernels::loss::distill::{CrossEntropyOptions, DistillOptions, TeacherTerms};
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_tests::{
    Fingerprint, assert_launches, assert_same_bits_on_one_core, client, dtypes_with_exp,
    has_f64_exp, poison,
};
use proptest::prelude::*;
use std::rc::Rc;

const ALL: [Comparison; 3] = [
    Comparison::Rows,
    Comparison::CentredRows,
    Comparison::Softmaxes(4.0),
];

/// A teacher's three terms, each with a weight of its own, at temperatures from `t` on.
fn of_teacher(t: f64, between: Comparison) -> TeacherTerms {
    TeacherTerms {
        cosine: Some(CosineOptions {
            weight: 0.7,
            ..CosineOptions::of(between)
        }),
        ..all(t, t + 1.0).teachers[0]
    }
}

/// The cross-entropy and all terms of `teachers` teachers, with factors for all samples.
fn everything(batch: usize, classes: usize, teachers: usize) -> Case {
    let terms = (0..teachers).map(|i| of_teacher(1.0 + i as f64, ALL[i % 3]));
    let options = DistillOptions {
        teachers: terms.collect(),
        ..all(1.0, 1.0)
    };
    let mut case = Case::spread(batch, classes, 5.0, options);
    case.factors = (0..=teachers).map(|i| 0.25 + 0.5 * i as f64).collect();
    case
}

/// The same, with other factors for each sample.
fn for_each_sample(mut case: Case) -> Case {
    let width = case.factors.len();
    let all = 0..case.labels.len() * width;
    case.factors = all.map(|i| (i * 5 % 7) as f64 / 4.0).collect();
    case
}

#[test]
fn all_terms_of_several_teachers_agree_with_the_reference() {
    // Rows that are shorter than a vector, fill it, overlap, and split into blocks.
    for classes in [2, 3, 10, 31, 32, 45, 100, 1000, 2048, 2100] {
        for case in [
            everything(3, classes, 2),
            for_each_sample(everything(3, classes, 2)),
        ] {
            poison(DType::F32, &[3 * classes, 3 * 7]);
            case.assert_agrees(DType::F32, 4e-6);
        }
    }
}

#[test]
fn four_teachers_agree_with_the_reference_whatever_the_type() {
    for classes in [10, 70] {
        for_each_sample(everything(19, classes, 4)).assert_agrees(DType::F32, 4e-6);
    }
    for classes in [10, 70] {
        for dtype in dtypes_with_exp() {
            let tolerance = if dtype == DType::F32 { 4e-6 } else { 1e-12 };
            for_each_sample(everything(19, classes, 2)).assert_agrees(dtype, tolerance);
        }
    }
}

#[test]
fn a_cosine_alone_is_a_sum_too() {
    for between in ALL {
        for classes in [2, 10, 45, 2100] {
            let cosine = Some(CosineOptions::of(between));
            let options = DistillOptions::of_teacher(TeacherTerms {
                cosine,
                ..TeacherTerms::default()
            });
            let case = Case::spread(18, classes, 5.0, options);
            poison(DType::F32, &[18 * classes, 18]);
            case.assert_agrees(DType::F32, 4e-6);
        }
    }
}

#[test]
fn the_golden_vectors_of_two_teachers_hold_with_the_weights_as_factors() {
    #[rustfmt::skip]
    let rows = [
        (1.0, [0.5, 0.5], 1.4144785156, [-0.3695694518, 0.2970238676, 0.0228418417, 0.0497037424, 0.0817881607, 0.0176821231, 0.2251989455, -0.3246692293]),
        (2.0, [0.3, 0.7], 2.4592153213, [-0.4503566091, 0.3277287421, 0.0472166004, 0.0754112665, 0.1371222054, 0.0494477258, 0.2963788170, -0.4829487481]),
        (5.0, [0.2638778514, 0.4800380894], 2.3527246598, [-0.3834886583, 0.2874755670, 0.0389686928, 0.0570443985, 0.1308362051, 0.0505317707, 0.2776871444, -0.4590551202]),
    ];
    for (temperature, [alpha, beta], loss, grad) in rows {
        let teacher = TeacherTerms {
            kd: Some(KdOptions {
                temperature,
                weight: 1.0,
            }),
            ..TeacherTerms::default()
        };
        let options = DistillOptions {
            cross_entropy: Some(CrossEntropyOptions::default()),
            teachers: vec![teacher; 2],
        };
        let soft = (alpha + beta) / 2.0;
        let mut case = Case::golden(options);
        let second = vec![6.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 9.0];
        case.teachers.push(second);
        case.factors = vec![1.0 - soft, soft * alpha, soft * beta];
        for dtype in dtypes_with_exp() {
            let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-9 };
            let (got_losses, got_grad) = case.run(dtype);
            assert_close(&[got_losses.iter().sum()], &[loss], tolerance);
            assert_close(&got_grad, &grad, tolerance);
        }
    }
}

#[test]
fn all_terms_of_two_teachers_take_one_launch_and_their_sum_another() {
    for classes in [10, 100] {
        let case = everything(5, classes, 2);
        let out = assert_launches("all terms", 1, || case.launch(DType::F32));
        assert_eq!(out.losses.shape(), [7, 5]);
        let (student, teachers, labels) = case.tensors(DType::F32);
        let function = Distill {
            teachers,
            labels: Some(labels),
            factors: case.factors(DType::F32),
            options: case.options,
            terms: Rc::default(),
        };
        let (tape, student) = (Tape::new(), Var::constant(student));
        let on_tape = || tape.apply(function, &[&student]);
        assert_launches("on the tape", 2, on_tape).expect("valid");
    }
    let nothing = everything(0, 10, 2);
    let out = assert_launches("of no sample", 0, || nothing.launch(DType::F32));
    assert_eq!(out.losses.shape(), [7, 0]);
}

#[test]
fn a_teacher_without_terms_is_not_read() {
    for classes in [10, 100] {
        let mut case = everything(3, classes, 2);
        case.options.teachers[0] = TeacherTerms::default();
        case.teachers[0].fill(f64::NAN);
        let (losses, grad) = case.run(DType::F32);
        assert_eq!(losses.len(), 4 * 3);
        assert!(losses.iter().chain(&grad).all(|v| v.is_finite()));
    }
}

#[test]
fn a_factor_of_0_switches_a_term_off_and_one_of_1_changes_no_bit() {
    for classes in [10, 100] {
        let mut plain = everything(5, classes, 2);
        plain.factors.clear();
        let (losses, grad) = plain.run(DType::F32);
        let mut case = plain.clone();
        case.factors = vec![1.0; 3];
        assert_eq!(case.run(DType::F32), (losses.clone(), grad));
        case.factors = vec![1.0, 0.0, 1.0];
        let (switched, _) = case.run(DType::F32);
        assert_eq!(bits(&switched[..5]), bits(&losses[..5]));
        assert!(switched[5..20].iter().all(|&v| v == 0.0), "{switched:?}");
        assert_eq!(bits(&switched[20..]), bits(&losses[20..]));
    }
}

#[test]
fn a_teacher_that_is_not_finite_spoils_its_own_terms_and_the_row_alone() {
    for classes in [2, 10, 45, 2100] {
        let (rows, spoiled) = (19, 17);
        let clean = everything(rows, classes, 2);
        let (clean_losses, clean_grad) = clean.run(DType::F32);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut case = clean.clone();
            case.teachers[1][spoiled * classes + classes / 2] = value;
            let (losses, grad) = case.run(DType::F32);
            for term in 0..7 {
                for row in 0..rows {
                    let i = term * rows + row;
                    if row == spoiled && term > 3 {
                        assert!(losses[i].is_nan(), "term {term}: {value} of {classes}");
                    } else {
                        assert_eq!(losses[i].to_bits(), clean_losses[i].to_bits());
                    }
                }
            }
            for (i, (got, clean)) in grad.iter().zip(&clean_grad).enumerate() {
                if i / classes == spoiled {
                    assert!(got.is_nan(), "{value} at {i} of {classes} classes");
                } else {
                    assert_eq!(got.to_bits(), clean.to_bits());
                }
            }
        }
    }
}

#[test]
fn a_target_logit_far_above_the_rest_keeps_the_loss_finite() {
    let options = DistillOptions::of_teacher(TeacherTerms {
        dkd: Some(DkdOptions {
            temperature: 1.0,
            ..DkdOptions::default()
        }),
        ..TeacherTerms::default()
    });
    let case = Case {
        classes: 4,
        student: vec![120.0, 0.0, 0.0, 0.0],
        teachers: vec![vec![1.0, 2.0, 3.0, 4.0]],
        labels: vec![0],
        mixed: None,
        factors: vec![f64::NAN, 1.0],
        options,
    };
    let (loss, grad) = case.run(DType::F32);
    assert_close(&loss, &[117.0775], 1e-4);
    assert_close(&grad, &[0.9679, 1.6238, 0.3862, -2.9779], 1e-4);
}

#[test]
fn several_teachers_give_the_same_bits_on_one_core() {
    let mut fingerprint = Fingerprint::default();
    for (batch, classes) in [(1021, 10), (333, 31), (33, 45), (7, 1000), (3, 5000)] {
        let out = for_each_sample(everything(batch, classes, 2)).launch(DType::F32);
        fingerprint.add(&out.losses);
        fingerprint.add(&out.grad);
    }
    let name = "several::several_teachers_give_the_same_bits_on_one_core";
    assert_same_bits_on_one_core(name, &fingerprint);
}

#[test]
fn the_gradient_is_the_derivative_of_all_terms_of_all_teachers() {
    if !has_f64_exp() {
        return;
    }
    for classes in [7, 33] {
        for case in [
            everything(3, classes, 2),
            for_each_sample(everything(3, classes, 2)),
        ] {
            let (_, teachers, labels) = case.tensors(DType::F64);
            let inputs = [(case.student.clone(), vec![3, classes])];
            let distill = Distill {
                teachers,
                labels: Some(labels),
                factors: case.factors(DType::F64),
                options: case.options(),
                terms: Rc::default(),
            };
            let apply = |tape: &Tape, v: &[Var]| tape.apply(distill.clone(), &[&v[0]]);
            let options = GradcheckOptions::default();
            gradcheck(&client(), &inputs, apply, options).expect("its derivative");
        }
    }
}

fn terms() -> impl Strategy<Value = TeacherTerms> {
    let temperature = || prop_oneof![Just(1.0), Just(4.0), 0.5..20.0];
    let kd = (temperature(), 0.0..2.0).prop_map(|(temperature, weight)| KdOptions {
        temperature,
        weight,
    });
    let dkd = (0.0..3.0, 0.0..10.0, temperature(), 0.0..1.0).prop_map(
        |(alpha, beta, temperature, weight)| DkdOptions {
            alpha,
            beta,
            temperature,
            weight,
        },
    );
    let between = prop_oneof![
        Just(Comparison::Rows),
        Just(Comparison::CentredRows),
        temperature().prop_map(Comparison::Softmaxes),
    ];
    let cosine = (between, 0.0..2.0).prop_map(|(between, weight)| CosineOptions {
        weight,
        ..CosineOptions::of(between)
    });
    let some = (
        prop::option::of(kd),
        prop::option::of(dkd),
        prop::option::of(cosine),
    );
    some.prop_map(|(kd, dkd, cosine)| TeacherTerms { kd, dkd, cosine })
}

fn cases() -> impl Strategy<Value = Case> {
    let entropy = (0.0..0.99, 0.0..2.0).prop_map(|(smoothing, weight)| CrossEntropyOptions {
        smoothing,
        weight,
        mixed: None,
    });
    let options = (
        prop::option::of(entropy),
        prop::collection::vec(terms(), 0..=4),
    )
        .prop_map(|(cross_entropy, teachers)| DistillOptions {
            cross_entropy,
            teachers,
        })
        .prop_filter("a term", |options| options.terms() > 0);
    let classes = prop_oneof![2usize..60, Just(100), Just(256), 2040usize..2080];
    let shape = prop_oneof![(1usize..5, classes), (1usize..40, 2usize..=20)];
    let factors = prop::sample::select(vec![0usize, 1, 2]);
    let share = prop::option::of(0.0..=1.0);
    (shape, options, factors, any::<u32>(), share).prop_flat_map(
        |((batch, classes), options, kind, seed, share)| {
            let width = 1 + options.teachers.len();
            let len = [0, width, batch * width][kind];
            let logits = move || prop::collection::vec(-8.0f32..8.0, batch * classes);
            let teachers = prop::collection::vec(logits(), width - 1);
            let factors = prop::collection::vec(0.0f32..2.0, len);
            (logits(), teachers, factors).prop_map(move |(student, teachers, factors)| {
                let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
                Case {
                    classes,
                    student: wide(student),
                    teachers: teachers.into_iter().map(wide).collect(),
                    labels: (0..batch)
                        .map(|n| seed.rotate_left(n as u32 * 5) % classes as u32)
                        .collect(),
                    mixed: share.map(|share| {
                        let second = |n| seed.rotate_right(n as u32 * 3) % classes as u32;
                        ((0..batch).map(second).collect(), share)
                    }),
                    factors: wide(factors),
                    options: options.clone(),
                }
            })
        },
    )
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(12))]

    #[test]
    fn random_sums_of_several_teachers_agree_with_the_reference(case in cases()) {
        case.assert_agrees(DType::F32, 4e-6);
    }
}
