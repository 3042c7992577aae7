//! The cross-entropy of labels that are mixed with those of other images.

use crate::case::{Case, all, assert_close, bits};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops::Distill;
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions};
use ghostlight_kernels::loss::distill::{CrossEntropyOptions, DistillOptions, TeacherTerms};
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_tests::{assert_launches, client, dtypes_with_exp, has_f64_exp, poison};
use std::rc::Rc;

/// All terms, with the label of the next sample as the second one.
fn mixed(batch: usize, classes: usize, share: f64) -> Case {
    let mut case = Case::spread(batch, classes, 5.0, all(1.0, 4.0));
    let mut second = case.labels.clone();
    second.rotate_left(1.min(batch));
    case.mixed = Some((second, share));
    case
}

/// The cross-entropy alone, without smoothing.
fn alone(mut case: Case) -> Case {
    case.teachers.clear();
    case.options = DistillOptions {
        cross_entropy: Some(CrossEntropyOptions::default()),
        ..DistillOptions::default()
    };
    case
}

#[test]
fn mixed_labels_agree_with_the_reference() {
    for classes in [2, 3, 10, 31, 32, 45, 100, 1000, 2048, 2100] {
        for share in [0.0, 0.3, 1.0] {
            let case = mixed(19, classes, share);
            poison(DType::F32, &[19 * classes, 3 * 19]);
            case.assert_agrees(DType::F32, 4e-6);
            alone(case).assert_agrees(DType::F32, 4e-6);
        }
    }
    for dtype in dtypes_with_exp() {
        let tolerance = if dtype == DType::F32 { 4e-6 } else { 1e-12 };
        mixed(19, 10, 0.25).assert_agrees(dtype, tolerance);
        mixed(5, 70, 0.25).assert_agrees(dtype, tolerance);
    }
}

#[test]
fn a_second_class_at_every_place_of_a_row_agrees_with_the_reference() {
    for classes in [5, 16, 31, 45, 3000] {
        let mut case = alone(mixed(2 * classes.min(50) + 1, classes, 0.4));
        let step = if classes > 50 { 59 } else { 1 };
        let place = |n: usize| ((n * step) % classes) as u32;
        let second = (0..case.labels.len()).map(place).collect();
        case.mixed = Some((second, 0.4));
        case.assert_agrees(DType::F32, 4e-6);
    }
}

#[test]
fn a_share_of_nothing_and_a_second_class_that_is_the_first_change_no_bit_of_the_terms() {
    for classes in [10, 100] {
        let mut case = mixed(19, classes, 0.0);
        let nothing = case.run(DType::F32);
        case.mixed = Some((case.labels.clone(), 0.7));
        let same = case.run(DType::F32);
        case.mixed = None;
        let plain = case.run(DType::F32);
        for found in [nothing, same] {
            assert_eq!(bits(&found.0), bits(&plain.0));
            assert_eq!(found.1, plain.1);
        }
    }
}

#[test]
fn mixed_labels_are_of_the_cross_entropy_alone_and_take_no_launch() {
    for classes in [10, 100] {
        let case = mixed(19, classes, 0.5);
        let plain = Case {
            mixed: None,
            ..case.clone()
        };
        let out = assert_launches("all terms", 1, || case.launch(DType::F32));
        let (losses, _) = plain.run(DType::F32);
        let found = ghostlight_tests::download(&out.losses);
        assert_ne!(found[..19], losses[..19]);
        assert_eq!(bits(&found[19..]), bits(&losses[19..]));
    }
}

#[test]
fn the_gradient_is_the_derivative_of_the_mixed_loss() {
    if !has_f64_exp() {
        return;
    }
    for classes in [7, 33] {
        let case = mixed(3, classes, 0.3);
        let (_, teachers, labels) = case.tensors(DType::F64);
        let inputs = [(case.student.clone(), vec![3, classes])];
        let distill = Distill {
            teachers,
            labels: Some(labels),
            factors: None,
            options: case.options(),
            terms: Rc::default(),
        };
        let apply = |tape: &Tape, v: &[Var]| tape.apply(distill.clone(), &[&v[0]]);
        let options = GradcheckOptions::default();
        gradcheck(&client(), &inputs, apply, options).expect("its derivative");
    }
}

#[test]
fn every_term_of_two_teachers_with_mixed_labels_and_factors_is_pytorchs() {
    // What `pytorch.py` prints: PyTorch's own softmaxes, divergences, cosine similarity and label smoothing, and its automatic gradient.
    let losses = [
        [0.673821125, 0.5797306855],
        [0.2523694158, 0.1026926859],
        [0.2907303902, 0.5535675076],
        [0.0738765971, 0.0946023275],
        [0.0710880637, 0.1950109283],
        [0.295050137, 0.4434337881],
        [0.0502342431, 0.157105879],
    ];
    #[rustfmt::skip]
    let grad = [-0.6155406343, 0.8313870913, -0.1096073819, -0.1062390752, 1.0080731159, -0.4238842824, -0.0480271377, -0.5361616959];
    let terms = |[kd, dkd]: [f64; 2], weights: [f64; 3], alpha, beta, between| TeacherTerms {
        kd: Some(KdOptions {
            temperature: kd,
            weight: weights[0],
        }),
        dkd: Some(DkdOptions {
            alpha,
            beta,
            temperature: dkd,
            weight: weights[1],
        }),
        cosine: Some(CosineOptions {
            weight: weights[2],
            ..CosineOptions::of(between)
        }),
    };
    let centred = Comparison::CentredRows;
    let mut case = Case::golden(DistillOptions {
        teachers: vec![
            terms([2.0, 4.0], [0.9, 0.5, 0.6], 1.5, 6.0, centred),
            terms(
                [1.0, 1.0],
                [0.4, 0.8, 1.3],
                1.0,
                2.0,
                Comparison::Softmaxes(3.0),
            ),
        ],
        ..all(1.0, 1.0)
    });
    case.teachers
        .push(vec![6.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 9.0]);
    case.mixed = Some((vec![2, 1], 0.3));
    case.factors = vec![1.0, 0.5, 0.25, 0.75, 1.25, 0.5];
    for dtype in dtypes_with_exp() {
        let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-9 };
        let (got_losses, got_grad) = case.run(dtype);
        assert_close(&got_losses, &losses.concat(), tolerance);
        assert_close(&got_grad, &grad, tolerance);
    }
    let (got_losses, got_grad) = case.reference();
    assert_close(&got_losses, &losses.concat(), 1e-9);
    assert_close(&got_grad, &grad, 1e-9);
}
