//! DKD: golden vectors, the definition's identities, the reference on random problems, hostile values and refusals.

mod case;
mod hostile;

use case::{Case, assert_near, bits, options};
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::dkd::{DkdOptions, reference};
use ghostlight_tests::{dtypes_with_exp, has_f64_exp, tolerances_with_exp};
use proptest::prelude::*;

#[test]
fn the_golden_vectors_hold() {
    #[rustfmt::skip]
    let rows = [
        (1.0, 1.0, 1.0, 0.5998609049, [-0.3220482234, 0.3766847326, -0.0076239075, -0.0470126017, 0.0810006691, -0.0087999297, -0.0610979200, -0.0111028194]),
        (1.0, 0.0, 4.0, 0.4796694642, [-0.3170973053, 0.1448573704, 0.0775365630, 0.0947033719, 0.0130483110, 0.0096664265, 0.0180592622, -0.0407739997]),
        (0.0, 1.0, 4.0, 0.2215208962, [0.0, 0.1353713096, -0.0458604145, -0.0895108951, 0.1726139239, -0.0689145185, -0.1036994054, 0.0]),
        (1.0, 8.0, 4.0, 2.2518366334, [-0.3170973053, 1.2278278470, -0.2893467530, -0.6213837887, 1.3939597023, -0.5416497214, -0.8115359812, -0.0407739997]),
    ];
    for (alpha, beta, temperature, loss, grad) in rows {
        let case = Case::golden(alpha, beta, temperature);
        // Probabilities that are off by their last bits come multiplied by the terms' weights.
        let unit = case.units().1.max(1.0);
        for (dtype, tolerance) in tolerances_with_exp(1e-6 * unit, 1e-9) {
            let (got_loss, got_grad) = case.run(dtype);
            assert_near(&[got_loss.iter().sum()], &[loss], tolerance);
            assert_near(&got_grad, &grad, tolerance);
        }
        let (got_loss, got_grad) = case.reference();
        assert_near(&[got_loss.iter().sum()], &[loss], 1e-9);
        assert_near(&got_grad, &grad, 1e-9);
    }
}

#[test]
fn two_classes_have_no_non_target_term() {
    for dtype in dtypes_with_exp() {
        let only_nckd = DkdOptions {
            alpha: 0.0,
            ..options(4.0)
        };
        let (loss, grad) = Case::spread(5, 2, 30.0, only_nckd).run(dtype);
        assert_eq!(
            (loss, grad.iter().map(|g| g.abs()).collect()),
            (vec![0.0; 5], vec![0.0; 10])
        );
        let case = Case::spread(5, 2, 30.0, options(4.0));
        let (loss, grad) = case.run(dtype);
        let (wanted_loss, wanted_grad) = case.reference();
        assert_near(&loss, &wanted_loss, 1e-5 * case.units().0);
        assert_near(&grad, &wanted_grad, 1e-5 * case.units().1);
    }
}

#[test]
fn a_student_that_equals_its_teacher_has_no_loss_and_no_gradient() {
    for (dtype, classes) in [
        (DType::F32, 10),
        (DType::F32, 48),
        (DType::F64, 10),
        (DType::F64, 7),
    ] {
        if !dtypes_with_exp().contains(&dtype) {
            continue;
        }
        let mut case = Case::spread(6, classes, 9.0, options(3.0));
        case.teacher.clone_from(&case.student);
        let (loss, grad) = case.run(dtype);
        assert!(
            loss.iter().chain(&grad).all(|&v| v == 0.0),
            "{loss:?} {grad:?}"
        );
    }
}

#[test]
fn a_high_temperature_costs_no_digits_in_f32() {
    // Both softmaxes are flat here: summed as q (ln q - ln p), rounding alone would change the loss by percents.
    let case = Case::spread(8, 10, 1.0, options(100.0));
    for (got, wanted) in case.run(DType::F32).0.iter().zip(case.reference().0) {
        assert!((got / wanted - 1.0).abs() < 2e-5, "{got}, wanted {wanted}");
    }
}

#[test]
fn the_warm_up_weight_scales_loss_and_gradient() {
    let whole = Case::spread(4, 10, 5.0, options(4.0));
    let mut quarter = whole.clone();
    quarter.options.weight = 0.25;
    let mut off = whole.clone();
    off.options.weight = 0.0;
    for dtype in dtypes_with_exp() {
        let (loss, grad) = whole.run(dtype);
        let scaled = |values: &[f64]| values.iter().map(|v| v * 0.25).collect::<Vec<_>>();
        assert_eq!(quarter.run(dtype), (scaled(&loss), scaled(&grad)));
        let (loss, grad) = off.run(dtype);
        assert!(loss.iter().chain(&grad).all(|&v| v == 0.0));
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    if !has_f64_exp() {
        return;
    }
    let case = Case::spread(3, 5, 4.0, options(2.0));
    let (_, grad) = case.run(DType::F64);
    let step = 1e-5;
    for (i, wanted) in grad.iter().enumerate() {
        let at = |shift: f64| {
            let mut moved = case.clone();
            moved.student[i] += shift;
            moved.run(DType::F64).0.iter().sum::<f64>()
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!(
            (slope - wanted).abs() < 1e-8,
            "logit {i}: {wanted}, central difference {slope}"
        );
    }
}

#[test]
fn repeated_launches_give_the_same_bits() {
    let case = Case::spread(33, 100, 6.0, options(4.0));
    let first = case.run(DType::F32);
    for _ in 0..5 {
        let again = case.run(DType::F32);
        assert_eq!(
            (bits(&again.0), bits(&again.1)),
            (bits(&first.0), bits(&first.1))
        );
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let classes = prop_oneof![2usize..40, Just(64), Just(100), Just(256)];
    // Few rows of any length, and rows of few classes in any number.
    let shape = prop_oneof![(1usize..7, classes), (1usize..40, 2usize..=20)];
    let parameters = (0.0..3.0, 0.0..10.0, 0.3..20.0, 0.0..1.0, -2.0..2.0);
    (shape, parameters).prop_flat_map(
        |((batch, classes), (alpha, beta, temperature, weight, log10))| {
            let scale = 10f64.powf(log10) as f32;
            let logits = || prop::collection::vec(-scale..scale, batch * classes);
            let labels = prop::collection::vec(0..classes as u32, batch);
            (logits(), logits(), labels).prop_map(move |(student, teacher, labels)| Case {
                classes,
                student: student.into_iter().map(f64::from).collect(),
                teacher: teacher.into_iter().map(f64::from).collect(),
                labels,
                options: DkdOptions {
                    alpha,
                    beta,
                    temperature,
                    weight,
                },
            })
        },
    )
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(96))]

    #[test]
    fn random_problems_agree_with_the_reference(case in cases()) {
        let (wanted_loss, wanted_grad) = case.reference();
        let (loss_unit, grad_unit) = case.units();
        for (dtype, tolerance) in tolerances_with_exp(2e-6, 1e-12) {
            let (loss, grad) = case.run(dtype);
            for (got, wanted) in loss.iter().zip(&wanted_loss) {
                let allowed = 10.0 * tolerance * wanted + tolerance * loss_unit;
                prop_assert!((got - wanted).abs() <= allowed, "{got}, wanted {wanted}");
            }
            for (got, wanted) in grad.iter().zip(&wanted_grad) {
                let allowed = 10.0 * tolerance * grad_unit;
                prop_assert!((got - wanted).abs() <= allowed, "{got}, wanted {wanted}");
            }
            for row in grad.chunks(case.classes) {
                prop_assert!(row.iter().sum::<f64>().abs() <= 10.0 * tolerance * grad_unit);
            }
        }
    }

    #[test]
    fn classical_kd_is_the_target_term_and_the_doubted_other(case in cases()) {
        let t = case.options.temperature;
        let log_softmax = |row: &[f64]| {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max) / t;
            let sum = row.iter().map(|z| (z / t - max).exp()).sum::<f64>().ln();
            row.iter().map(|z| z / t - max - sum).collect::<Vec<_>>()
        };
        let rows = case.student.chunks(case.classes).zip(case.teacher.chunks(case.classes));
        for ((z, v), &label) in rows.zip(&case.labels) {
            let (log_p, log_q) = (log_softmax(z), log_softmax(v));
            let kl: f64 = log_q.iter().zip(&log_p).map(|(q, p)| q.exp() * (q - p)).sum();
            let terms = reference::terms(z, v, label, t);
            let doubt = 1.0 - log_q[label as usize].exp();
            let sum = terms.tckd + doubt * terms.nckd;
            prop_assert!((kl - sum).abs() <= 1e-12 * (1.0 + kl), "{kl} against {sum}");
        }
    }
}
