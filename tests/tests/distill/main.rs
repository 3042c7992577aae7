//! Classical distillation and sums of losses: golden vectors, the reference on random problems, special cases, hostile values.

mod case;
mod hostile;
mod mixed;
mod refusals;
mod several;

use case::{Case, all, assert_close};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops::{Distill, Kd};
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions};
use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, Distilled, TeacherTerms, distill,
};
use ghostlight_kernels::loss::dkd::{DkdOptions, dkd};
use ghostlight_kernels::loss::kd::{KdOptions, kd};
use ghostlight_kernels::loss::{cross_entropy::cross_entropy, sum};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, assert_launches, assert_same_bits, assert_same_bits_on_one_core, client, download,
    dtypes_with_exp, has_f64_exp, poison,
};
use proptest::prelude::*;
use std::rc::Rc;

fn only_kd(temperature: f64) -> DistillOptions {
    let weight = 1.0;
    DistillOptions::of_teacher(TeacherTerms {
        kd: Some(KdOptions {
            temperature,
            weight,
        }),
        ..TeacherTerms::default()
    })
}

#[test]
fn the_golden_vectors_of_classical_distillation_hold() {
    #[rustfmt::skip]
    let rows = [
        (1.0, 0.5257777202, [-0.3220482234, 0.2705676506, 0.0171765876, 0.0343039851, 0.0681121222, -0.0072499185, -0.0497593844, -0.0111028194]),
        (4.0, 0.6322401280, [-0.3170973053, 0.2232424090, 0.0509816721, 0.0428732242, 0.1418604537, -0.0417606345, -0.0593258195, -0.0407739997]),
    ];
    for (temperature, loss, grad) in rows {
        let case = Case::golden(only_kd(temperature));
        for dtype in dtypes_with_exp() {
            let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-9 };
            let (got_loss, got_grad) = case.run(dtype);
            assert_close(&[got_loss.iter().sum()], &[loss], tolerance);
            assert_close(&got_grad, &grad, tolerance);
        }
        let (got_loss, got_grad) = case.reference();
        assert_close(&[got_loss.iter().sum()], &[loss], 1e-9);
        assert_close(&got_grad, &grad, 1e-9);
    }
}

#[test]
fn each_term_of_a_sum_has_its_golden_value_by_name() {
    let case = Case::golden(DistillOptions {
        cross_entropy: Some(CrossEntropyOptions::default()),
        teachers: vec![TeacherTerms {
            kd: Some(KdOptions::default()),
            dkd: Some(DkdOptions::default()),
            cosine: Some(CosineOptions::of(Comparison::Rows)),
        }],
    });
    let out = case.launch(DType::F32);
    for (term, wanted) in [
        (out.cross_entropy(), 1.7231005320),
        (out.kd(0), 0.6322401280),
        (out.dkd(0), 2.2518366334),
        (out.cosine(0), 0.3387842537),
    ] {
        let total = sum(&term.expect("it was asked for")).expect("a vector");
        assert_close(&download(&total), &[wanted], 2e-6);
    }
    let out = Case::golden(only_kd(4.0)).launch(DType::F32);
    assert!(out.cross_entropy().is_none() && out.dkd(0).is_none());
    assert!(out.cosine(0).is_none() && out.kd(1).is_none());
    assert_close(
        &[download(&out.kd(0).expect("it was asked for")).iter().sum()],
        &[0.632240128],
        1e-6,
    );
}

#[test]
fn a_sum_of_one_term_is_that_term_bit_by_bit() {
    let case = Case::spread(5, 45, 6.0, all(3.0, 4.0));
    let (student, teachers, labels) = case.tensors(DType::F32);
    let of_teacher = case.options.teachers[0];
    let teacher = &teachers[0];
    let term = |teachers: &[Tensor], options: DistillOptions| {
        let out = distill(&student, teachers, Some(&labels), None, &options).expect("valid");
        let losses = out.losses.reshape(&[5]).expect("one term");
        (losses, out.grad)
    };
    let alone = |terms: TeacherTerms| term(&teachers, DistillOptions::of_teacher(terms));
    let none = TeacherTerms::default();
    let found = kd(&student, teacher, &of_teacher.kd.expect("there")).expect("valid");
    let summed = alone(TeacherTerms {
        kd: of_teacher.kd,
        ..none
    });
    assert_same_bits("kd", &found.loss, &summed.0);
    assert_same_bits("kd's gradient", &found.grad, &summed.1);
    let found = dkd(&student, teacher, &labels, &of_teacher.dkd.expect("there")).expect("valid");
    let summed = alone(TeacherTerms {
        dkd: of_teacher.dkd,
        ..none
    });
    assert_same_bits("dkd", &found.loss, &summed.0);
    assert_same_bits("dkd's gradient", &found.grad, &summed.1);
    let found = cross_entropy(&student, &labels, 0.1).expect("valid");
    let smoothing = 0.1;
    let summed = term(
        &[],
        DistillOptions {
            cross_entropy: Some(CrossEntropyOptions {
                smoothing,
                ..CrossEntropyOptions::default()
            }),
            ..DistillOptions::default()
        },
    );
    assert_same_bits("cross-entropy", &found.loss, &summed.0);
    assert_same_bits("cross-entropy's gradient", &found.grad, &summed.1);
}

#[test]
fn terms_of_one_temperature_and_of_several_agree_with_the_reference() {
    // One, two and three temperatures; rows that are shorter than a vector, fill it, overlap, and split into blocks.
    for (kd_temperature, dkd_temperature) in [(1.0, 1.0), (4.0, 4.0), (1.0, 4.0), (2.5, 4.0)] {
        for classes in [2, 3, 10, 16, 17, 45, 100, 1000, 2047, 2048, 2100] {
            let case = Case::spread(3, classes, 5.0, all(kd_temperature, dkd_temperature));
            poison(DType::F32, &[3 * classes, 9]);
            case.assert_agrees(DType::F32, 2e-6);
        }
        for dtype in dtypes_with_exp() {
            let case = Case::spread(3, 70, 5.0, all(kd_temperature, dkd_temperature));
            case.assert_agrees(dtype, if dtype == DType::F32 { 2e-6 } else { 1e-12 });
        }
    }
}

#[test]
fn a_target_at_every_place_of_a_row_agrees_with_the_reference() {
    // In vectors of 16: 45 classes are two whole vectors and an overlapping one.
    for classes in [2, 3, 5, 10, 16, 31, 45] {
        // One more row than a multiple, so that no vector of rows is full.
        let mut case = Case::spread(2 * classes + 1, classes, 5.0, all(3.0, 4.0));
        let labels = 0..2 * classes as u32 + 1;
        case.labels = labels.map(|n| n % classes as u32).collect();
        case.assert_agrees(DType::F32, 2e-6);
    }
}

#[test]
fn a_maximum_in_any_block_of_a_long_row_agrees_with_the_reference() {
    let classes = 5000;
    let mut case = Case::spread(6, classes, 1.0, all(4.0, 4.0));
    for (n, place) in [0, 1023, 1024, 2500, 4999, 4000].into_iter().enumerate() {
        case.student[n * classes + place] = 40.0;
        case.teachers[0][n * classes + (place + 1500) % classes] = 35.0;
    }
    case.assert_agrees(DType::F32, 4e-6);
}

#[test]
fn rows_of_a_large_batch_agree_with_the_reference() {
    // On a GPU teams have fewer units where rows are so many, sixteen of them a cube here, and the last cube is half empty.
    let mut options = all(4.0, 4.0);
    options.teachers[0].cosine = Some(CosineOptions::of(Comparison::Rows));
    Case::spread(8200, 256, 5.0, options).assert_agrees(DType::F32, 4e-6);
}

#[test]
fn equal_networks_have_neither_loss_nor_gradient() {
    for classes in [2, 10, 45, 1000, 5000] {
        let options = DistillOptions {
            cross_entropy: None,
            ..all(3.0, 4.0)
        };
        let mut case = Case::spread(3, classes, 9.0, options);
        case.teachers = vec![case.student.clone()];
        for dtype in dtypes_with_exp() {
            let (losses, grad) = case.run(dtype);
            assert!(
                losses.iter().chain(&grad).all(|&v| v == 0.0),
                "{classes} classes in {dtype:?}"
            );
        }
    }
}

#[test]
fn a_high_temperature_costs_no_digits_in_f32() {
    // Both softmaxes are flat here: summed as q (ln q - ln p), rounding alone would change the loss by percents.
    for classes in [10, 100, 5000] {
        let case = Case::spread(8, classes, 1.0, only_kd(100.0));
        for (got, wanted) in case.run(DType::F32).0.iter().zip(case.reference().0) {
            assert!(
                (got / wanted - 1.0).abs() < 2e-5,
                "{classes}: {got}, wanted {wanted}"
            );
        }
    }
}

#[test]
fn every_sum_is_one_launch_and_an_empty_one_is_none() {
    for options in [all(1.0, 1.0), all(2.0, 3.0), only_kd(4.0)] {
        let case = Case::spread(4, 100, 3.0, options.clone());
        assert_launches("distill", 1, || case.launch(DType::F32));
        let empty = Case::spread(0, 100, 3.0, options.clone());
        let run = || empty.launch(DType::F32);
        let out = assert_launches("distill of nothing", 0, run);
        assert_eq!(out.losses.shape(), [options.terms(), 0]);
        assert_eq!(download(&out.grad), Vec::<f64>::new());
    }
}

#[test]
fn any_number_of_cores_gives_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    let shapes = [
        (4099, 2),
        (1021, 10),
        (333, 31),
        (33, 10),
        (7, 1000),
        (3, 5000),
    ];
    for (batch, classes) in shapes {
        let out = Case::spread(batch, classes, 5.0, all(3.0, 4.0)).launch(DType::F32);
        fingerprint.add(&out.losses);
        fingerprint.add(&out.grad);
    }
    assert_same_bits_on_one_core("any_number_of_cores_gives_the_same_bits", &fingerprint);
}

#[test]
fn a_row_of_few_classes_has_the_same_bits_wherever_it_stands() {
    for (dtype, classes) in [(DType::F32, 2), (DType::F32, 10), (DType::F64, 7)] {
        if !dtypes_with_exp().contains(&dtype) {
            continue;
        }
        let whole = Case::spread(64, classes, 5.0, all(3.0, 4.0));
        let (losses, grad) = whole.run(dtype);
        for rows in [1, 2, 4, 8, 16, 32] {
            // A mean over a power of two rounds nothing.
            let scale = rows as f64 / 64.0;
            for first in [0, 64 - rows] {
                let logits = first * classes..(first + rows) * classes;
                let part = Case {
                    classes,
                    student: whole.student[logits.clone()].to_vec(),
                    teachers: vec![whole.teachers[0][logits.clone()].to_vec()],
                    labels: whole.labels[first..first + rows].to_vec(),
                    mixed: None,
                    factors: Vec::new(),
                    options: whole.options.clone(),
                };
                let (part_losses, part_grad) = part.run(dtype);
                let scaled: Vec<f64> = part_grad.iter().map(|g| g * scale).collect();
                assert_eq!(scaled, grad[logits], "{rows} rows from {first} on");
                for (term, found) in part_losses.chunks(rows).enumerate() {
                    let scaled: Vec<f64> = found.iter().map(|loss| loss * scale).collect();
                    let start = 64 * term + first;
                    assert_eq!(scaled, losses[start..start + rows], "term {term}");
                }
            }
        }
    }
}

#[test]
fn the_gradient_through_the_tape_is_that_of_the_sum_of_all_terms() {
    let case = Case::spread(3, 10, 4.0, all(3.0, 4.0));
    let dtype = DType::F32;
    let (student, teachers, labels) = case.tensors(dtype);
    let found = case.launch(dtype);
    let function = Distill {
        teachers,
        labels: Some(labels),
        factors: None,
        options: case.options,
        terms: Rc::default(),
    };
    let terms = function.terms.clone();
    let (tape, grad) = (Tape::new(), Tensor::zeros(&client(), &[3, 10], dtype));
    let logits = tape.leaf(&student, &grad).expect("of one shape");
    let loss = tape.apply(function, &[&logits]).expect("valid");
    let all: f64 = download(&found.losses).iter().sum();
    assert_close(&download(loss.tensor()), &[all], 1e-6 * all.abs());
    tape.backward(&[(&loss, 1.0)]).expect("a scalar");
    assert_same_bits("gradient", &grad, &found.grad);
    let terms = terms.get().expect("the forward pass ran");
    let of = |found: &Distilled| found.dkd(0).expect("it was asked for");
    assert_same_bits("terms by name", &of(terms), &of(&found));
}

#[test]
fn the_gradients_are_the_derivatives_of_the_losses() {
    if !has_f64_exp() {
        return;
    }
    for (kd_temperature, dkd_temperature) in [(1.0, 1.0), (3.0, 3.0), (2.0, 4.0)] {
        let case = Case::spread(3, 7, 3.0, all(kd_temperature, dkd_temperature));
        let (_, teachers, labels) = case.tensors(DType::F64);
        let inputs = [(case.student.clone(), vec![3, 7])];
        let kd = Kd {
            teacher: teachers[0].clone(),
            options: case.options.teachers[0].kd.expect("there"),
        };
        let distill = Distill {
            teachers,
            labels: Some(labels),
            factors: None,
            options: case.options,
            terms: Rc::default(),
        };
        let options = GradcheckOptions::default();
        let apply = |tape: &Tape, v: &[Var]| tape.apply(distill.clone(), &[&v[0]]);
        gradcheck(&client(), &inputs, apply, options).expect("its derivative");
        let apply = |tape: &Tape, v: &[Var]| tape.apply(kd.clone(), &[&v[0]]);
        gradcheck(&client(), &inputs, apply, options).expect("its derivative");
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let classes = prop_oneof![2usize..60, Just(64), Just(100), Just(256), 2040usize..2080];
    let entropy = (0.0..0.99, 0.0..2.0).prop_map(|(smoothing, weight)| CrossEntropyOptions {
        smoothing,
        weight,
        mixed: None,
    });
    let temperature = || prop_oneof![Just(1.0), Just(4.0), 0.3..20.0];
    let classical = (temperature(), 0.0..2.0).prop_map(|(temperature, weight)| KdOptions {
        temperature,
        weight,
    });
    let decoupled = (0.0..3.0, 0.0..10.0, temperature(), 0.0..1.0).prop_map(
        |(alpha, beta, temperature, weight)| DkdOptions {
            alpha,
            beta,
            temperature,
            weight,
        },
    );
    let options = (
        prop::option::of(entropy),
        prop::option::of(classical),
        prop::option::of(decoupled),
    )
        .prop_filter("a term", |(a, b, c)| {
            a.is_some() || b.is_some() || c.is_some()
        })
        .prop_map(|(cross_entropy, kd, dkd)| DistillOptions {
            cross_entropy,
            teachers: vec![TeacherTerms {
                kd,
                dkd,
                cosine: None,
            }],
        });
    // Few rows of any length, and rows of few classes in any number.
    let shape = prop_oneof![(1usize..5, classes), (1usize..40, 2usize..=20)];
    (shape, -2.0..2.0, options).prop_flat_map(|((batch, classes), log10, options)| {
        let scale = 10f64.powf(log10) as f32;
        let logits = || prop::collection::vec(-scale..scale, batch * classes);
        let labels = prop::collection::vec(0..classes as u32, batch);
        let options = options.clone();
        (logits(), logits(), labels).prop_map(move |(student, teacher, labels)| Case {
            classes,
            student: student.into_iter().map(f64::from).collect(),
            teachers: vec![teacher.into_iter().map(f64::from).collect()],
            labels,
            mixed: None,
            factors: Vec::new(),
            options: options.clone(),
        })
    })
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(64))]

    #[test]
    fn random_sums_agree_with_the_reference(case in cases()) {
        case.assert_agrees(DType::F32, 3e-6);
    }

    #[test]
    fn adding_a_constant_to_a_row_of_logits_changes_nothing(case in cases(), shift in -64i32..64) {
        // Logits on a grid that the shift does not leave, so that no rounding enters.
        let snap = |v: &f64| (v * 64.0).round() / 64.0;
        let mut case = case;
        case.student = case.student.iter().map(snap).collect();
        case.teachers[0] = case.teachers[0].iter().map(snap).collect();
        let mut moved = case.clone();
        for z in &mut moved.student {
            *z += f64::from(shift);
        }
        prop_assert_eq!(case.run(DType::F32), moved.run(DType::F32));
    }
}

#[test]
fn integer_logits_of_two_even_classes_are_exact() {
    // p and q are 1/2 on both classes: no divergence, ln 2 of entropy, and a gradient of -1/2 and 1/2 over the batch.
    let case = Case {
        classes: 2,
        student: vec![3.0; 4],
        teachers: vec![vec![-1.0; 4]],
        labels: vec![0, 1],
        mixed: None,
        factors: Vec::new(),
        options: DistillOptions {
            cross_entropy: Some(CrossEntropyOptions::default()),
            ..only_kd(2.0)
        },
    };
    let (losses, grad) = case.run(DType::F32);
    assert_close(&losses, &[0.5 * 2f64.ln(), 0.5 * 2f64.ln(), 0.0, 0.0], 6e-8);
    assert_eq!(grad, [-0.25, 0.25, 0.25, -0.25]);
}
