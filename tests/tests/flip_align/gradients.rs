//! The gradient against central differences, for every selection and normalisation.

use crate::case::{Case, Found, NORMALISATIONS, options, selections};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops::FlipAlign;
use ghostlight_autodiff::{DType, Tape, Tensor, Var};
use ghostlight_kernels::loss::flip_align::{Group, Normalisation, Selection, Transform};
use ghostlight_tests::{client, download, dtypes_with_exp, has_f64_exp, upload};
use std::cell::RefCell;
use std::rc::Rc;

/// Checks the gradient of one alignment, on maps whose distances are no ties.
fn check(case: &Case) {
    let teacher = upload(&case.teacher, &case.shape, DType::F64);
    let inputs = [(case.student.clone(), case.shape.to_vec())];
    let apply = |tape: &Tape, v: &[Var]| {
        let op = FlipAlign {
            teacher: teacher.clone(),
            options: case.options.clone(),
            report: None,
        };
        tape.apply(op, &[&v[0]])
    };
    // Small steps: the norms of a few values bend quickly.
    let probing = GradcheckOptions {
        step: 1e-6,
        ..GradcheckOptions::default()
    };
    gradcheck(&client(), &inputs, apply, probing)
        .unwrap_or_else(|error| panic!("{:?}: {error}", case.options));
}

#[test]
fn the_gradient_of_every_selection_under_every_norm_is_its_derivative() {
    if !has_f64_exp() {
        return;
    }
    for normalisation in NORMALISATIONS {
        for selection in selections(normalisation, 0.2) {
            let constant_weights = Selection::Attention {
                tau: 0.2,
                detached: true,
            };
            if selection == constant_weights {
                // Not the derivative of its loss, by definition; see the test below.
                continue;
            }
            for (shape, group) in [
                ([2, 3, 3, 3], Group::D4),
                ([2, 2, 3, 3], Group::Flips),
                ([1, 4, 4, 3], Group::Rotations),
                ([2, 2, 2, 3], Group::Fixed(Transform::TURN_LEFT)),
                ([3, 3, 3, 3], Group::Random { seed: 5 }),
            ] {
                check(&Case::new(
                    shape,
                    11,
                    options(group, selection, normalisation),
                ));
            }
        }
    }
}

#[test]
fn a_soft_minimum_and_detached_attention_have_one_gradient() {
    for normalisation in NORMALISATIONS {
        let of = |selection| {
            Case::new(
                [3, 5, 5, 20],
                4,
                options(Group::D4, selection, normalisation),
            )
        };
        for dtype in dtypes_with_exp() {
            let tau = 0.3;
            let soft = Found::of(&of(Selection::SoftMin { tau }).launch(dtype));
            let attention = Selection::Attention {
                tau,
                detached: true,
            };
            let detached = Found::of(&of(attention).launch(dtype));
            let largest = soft.grad.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            for (a, b) in soft.grad.iter().zip(&detached.grad) {
                assert!((a - b).abs() <= 1e-6 * largest, "{a} and {b}");
            }
            assert_ne!(soft.loss, detached.loss);
        }
    }
}

#[test]
fn under_a_norm_the_gradient_is_orthogonal_to_the_map() {
    for (normalisation, part) in [
        (Normalisation::Sample, 16 * 10),
        (Normalisation::Position, 10),
    ] {
        for selection in selections(normalisation, 0.1) {
            let case = Case::new(
                [4, 4, 4, 10],
                3,
                options(Group::D4, selection, normalisation),
            );
            for dtype in dtypes_with_exp() {
                let found = Found::of(&case.launch(dtype));
                for (a, g) in case.student.chunks(part).zip(found.grad.chunks(part)) {
                    let dot: f64 = a.iter().zip(g).map(|(a, g)| a * g).sum();
                    let size: f64 = a.iter().zip(g).map(|(a, g)| (a * g).abs()).sum();
                    assert!(dot.abs() <= 1e-5 * size, "{dot} of {size} in {dtype:?}");
                }
            }
        }
    }
}

#[test]
fn the_operation_scales_its_gradient_and_reports_what_it_found() {
    let case = Case::new(
        [4, 3, 3, 6],
        2,
        ghostlight_kernels::loss::flip_align::FlipOptions::default(),
    );
    let [student, teacher] = case.tensors(DType::F32);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let op = FlipAlign {
        teacher,
        options: case.options.clone(),
        report: Some(Rc::new(move |found| {
            log.borrow_mut()
                .extend(found.chosen.to_transforms().unwrap());
        })),
    };
    let grad = Tensor::zeros(&client(), student.shape(), DType::F32);
    let tape = Tape::new();
    let leaf = tape.leaf(&student, &grad).unwrap();
    let loss = tape.apply(op, &[&leaf]).unwrap();
    tape.backward(&[(&loss, 0.5)]).unwrap();
    let found = Found::of(&case.launch(DType::F32));
    let halves: Vec<f64> = found.grad.iter().map(|g| 0.5 * g).collect();
    assert_eq!(download(&grad), halves);
    assert_eq!(*seen.borrow(), found.chosen);
    let [total] = download(loss.tensor())[..] else {
        panic!("a loss is one number")
    };
    assert!((total - found.loss.iter().sum::<f64>()).abs() < 1e-6);
}
