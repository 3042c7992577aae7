//! The dual-teacher loss: golden vectors, the rule, the reference on random problems, hostile values and refusals.

mod case;
mod hostile;
mod rule;

use case::{Case, assert_near, at};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck, values};
use ghostlight_autodiff::ops::DualTeacher;
use ghostlight_kernels::loss::dual_teacher::reference;
use ghostlight_kernels::{DType, Labels};
use ghostlight_tests::{
    Fingerprint, assert_launches, assert_same_bits, assert_same_bits_on_one_core, cases, client,
    download, dtypes_with_exp,
};
use proptest::prelude::*;

#[test]
fn the_golden_vectors_hold() {
    #[rustfmt::skip]
    let rows = [
        (1.0, [0.8013786384, 0.9939289038, 0.5, 0.5], 1.4144785156, [-0.3695694518, 0.2970238676, 0.0228418417, 0.0497037424, 0.0817881607, 0.0176821231, 0.2251989455, -0.3246692293]),
        (2.0, [0.5543711866, 0.9036565384, 0.3, 0.7], 2.4592153213, [-0.4503566091, 0.3277287421, 0.0472166004, 0.0754112665, 0.1371222054, 0.0494477258, 0.2963788170, -0.4829487481]),
        (5.0, [0.3638778514, 0.5800380894, 0.2638778514, 0.4800380894], 2.3527246598, [-0.3834886583, 0.2874755670, 0.0389686928, 0.0570443985, 0.1308362051, 0.0505317707, 0.2776871444, -0.4590551202]),
    ];
    for (temperature, weights, loss, grad) in rows {
        let case = Case::golden(temperature);
        let mut found = vec![(case.reference(None), 1e-9)];
        for dtype in dtypes_with_exp() {
            let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-9 };
            found.push((case.run(dtype), tolerance));
        }
        for (found, tolerance) in found {
            assert_near("weights", &found.weights, &weights, tolerance);
            assert_near("loss", &[found.loss.iter().sum()], &[loss], tolerance);
            assert_near("gradient", &found.grad, &grad, tolerance);
        }
    }
}

#[test]
fn a_student_that_equals_both_teachers_has_the_cross_entropy_alone() {
    for dtype in dtypes_with_exp() {
        for classes in [2, 10, 45, 100] {
            let mut case = Case::random(6, 5, classes, 8.0, 1.0);
            case.teachers = [case.student.clone(), case.student.clone()];
            (case.options.low, case.options.high) = (0.0, 0.0);
            let with = case.run(dtype);
            assert_eq!(with.weights[2..], [0.5, 0.5]);
            // Half of the weight is the cross-entropy's; a rule that trusts nobody leaves all of it.
            (case.options.low, case.options.high) = (1.0, 1.0);
            case.teachers = case.teachers.map(|v| vec![0.0; v.len()]);
            let without = case.run(dtype);
            assert_eq!(without.weights[2..], [0.0, 0.0]);
            let half = |values: &[f64]| values.iter().map(|v| v / 2.0).collect::<Vec<_>>();
            assert_eq!(with.loss, half(&without.loss));
            assert_eq!(with.grad, half(&without.grad));
        }
    }
}

#[test]
fn a_high_temperature_costs_no_digits_in_f32() {
    // All softmaxes are flat here: summed as q (ln q - ln p), rounding alone would change the divergences by percents.
    let mut case = Case::random(5, 8, 10, 1.0, 100.0);
    (case.options.low, case.options.high) = (0.0, 0.0);
    let found = case.run(DType::F32);
    assert_eq!(found.weights[2..], [0.5, 0.5]);
    for (got, wanted) in found.loss.iter().zip(case.reference(None).loss) {
        assert!((got / wanted - 1.0).abs() < 2e-5, "{got}, wanted {wanted}");
    }
}

#[test]
fn weighing_takes_two_launches_and_the_loss_one() {
    let case = Case::random(1, 5, 33, 4.0, 5.0);
    let teachers = assert_launches("weighing", 2, || case.teachers(DType::F32));
    assert_launches("loss", 1, || case.launch(&teachers, DType::F32));
    let none = Case::random(1, 0, 33, 4.0, 5.0);
    let teachers = assert_launches("weighing nothing", 0, || none.teachers(DType::F32));
    let out = assert_launches("no loss", 0, || none.launch(&teachers, DType::F32));
    assert_eq!((download(&out.loss), download(&out.grad)), (vec![], vec![]));
    assert_eq!(
        (out.grad.shape(), download(teachers.weights())),
        (&[0, 33][..], vec![0.0; 4])
    );
}

#[test]
fn results_have_the_same_bits_on_one_core() {
    let mut fingerprint = Fingerprint::default();
    for (batch, classes) in [(33, 100), (64, 10), (3, 5000)] {
        let case = Case::random(9, batch, classes, 16.0, 2.0);
        let (teachers, again) = (case.teachers(DType::F32), case.teachers(DType::F32));
        assert_same_bits("weights", teachers.weights(), again.weights());
        let out = case.launch(&teachers, DType::F32);
        let out_again = case.launch(&again, DType::F32);
        assert_same_bits("loss", &out_again.loss, &out.loss);
        assert_same_bits("gradient", &out_again.grad, &out.grad);
        fingerprint.add(teachers.weights());
        fingerprint.add(&out.loss);
        fingerprint.add(&out.grad);
    }
    assert_same_bits_on_one_core("results_have_the_same_bits_on_one_core", &fingerprint);
}

fn problems() -> impl Strategy<Value = Case> {
    let classes = prop_oneof![
        2usize..50,
        prop::sample::select(vec![60, 100, 256, 1000, 1029])
    ];
    (
        1usize..7,
        classes,
        any::<u64>(),
        -5i32..8,
        0.3f64..20.0,
        any::<u32>(),
    )
        .prop_map(|(batch, classes, seed, power, temperature, label)| {
            let mut case = Case::random(seed, batch, classes, 2f64.powi(power), temperature);
            case.labels.iter_mut().enumerate().for_each(|(n, l)| {
                *l = (label.rotate_left(n as u32 * 5)) % classes as u32;
            });
            case
        })
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn random_problems_agree_with_the_reference(case in problems()) {
        let (loss_unit, grad_unit) = case.units();
        for dtype in dtypes_with_exp() {
            let tolerance = if dtype == DType::F32 { 2e-6 } else { 1e-12 };
            let found = case.run(dtype);
            let [c1, c2, alpha, beta] = found.weights[..] else { panic!("four weights") };
            let wanted = case.reference(Some([alpha, beta]));
            assert_near("confidences", &[c1, c2], &wanted.weights[..2], tolerance);
            // From the confidences as the device has them: rounding may carry one over a threshold.
            let chosen = reference::weights([c1, c2], &case.options);
            assert_near("weights", &[alpha, beta], &chosen, tolerance);
            for (got, wanted) in found.loss.iter().zip(&wanted.loss) {
                let allowed = 10.0 * tolerance * wanted + tolerance * loss_unit;
                prop_assert!((got - wanted).abs() <= allowed, "{got}, wanted {wanted}");
            }
            assert_near("gradient", &found.grad, &wanted.grad, 5.0 * tolerance * grad_unit);
            for row in found.grad.chunks(case.classes) {
                prop_assert!(row.iter().sum::<f64>().abs() <= 10.0 * tolerance * grad_unit);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_gradient_is_that_of_the_loss(
        (batch, classes) in (1usize..4, 2usize..20),
        (temperature, seed) in (0.5f64..8.0, any::<u32>()),
    ) {
        if dtypes_with_exp().contains(&DType::F64) {
            let case = Case::random(seed.into(), batch, classes, 4.0, temperature);
            let labels = Labels::new(&client(), &case.labels, classes).unwrap();
            let op = DualTeacher { teachers: case.teachers(DType::F64), labels };
            let input = (values(u64::from(seed) + 1, batch * classes), vec![batch, classes]);
            let options = GradcheckOptions::default();
            gradcheck(&client(), &[input], |tape, v| tape.apply(op.clone(), &[&v[0]]), options)?;
        }
    }
}

#[test]
fn an_operation_under_a_tape_reports_the_weights_that_it_used() {
    let case = Case::golden(2.0);
    let labels = Labels::new(&client(), &case.labels, 4).unwrap();
    let op = DualTeacher {
        teachers: case.teachers(DType::F32),
        labels,
    };
    let seen = download(op.teachers.weights());
    assert_near("weights", &seen[2..], &[0.3, 0.7], 1e-7);
    assert_eq!(op.teachers.problem().options, at(2.0));
}
