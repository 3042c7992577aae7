//! The dual-teacher loss: golden vectors, the rule, the reference on random problems, hostile values and refusals.

mod case;
mod hostile;
mod rule;

use case::{Case, assert_near};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck, values};
use ghostlight_autodiff::ops::Distill;
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::loss::dual_teacher::{Rule, Scope, reference};
use ghostlight_kernels::{DType, Labels};
use ghostlight_tests::{
    Fingerprint, assert_launches, assert_same_bits, assert_same_bits_on_one_core, cases, client,
    download, dtypes_with_exp, upload,
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
            (case.literals().low, case.literals().high) = (0.0, 0.0);
            let with = case.run(dtype);
            assert_eq!(with.weights[2..], [0.5, 0.5]);
            // Half of the weight is the cross-entropy's; a rule that trusts nobody leaves all of it.
            (case.literals().low, case.literals().high) = (1.0, 1.0);
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
    (case.literals().low, case.literals().high) = (0.0, 0.0);
    let found = case.run(DType::F32);
    assert_eq!(found.weights[2..], [0.5, 0.5]);
    for (got, wanted) in found.loss.iter().zip(case.reference(None).loss) {
        assert!((got / wanted - 1.0).abs() < 2e-5, "{got}, wanted {wanted}");
    }
}

/// The loss on the tape, weighed anew.
fn operation(case: &Case, dtype: DType) -> Distill {
    let shape = [case.batch(), case.classes];
    Distill {
        teachers: case
            .teachers
            .iter()
            .map(|v| upload(v, &shape, dtype))
            .collect(),
        labels: Some(Labels::new(&client(), &case.labels, case.classes).unwrap()),
        factors: Some(case.weigh(dtype).factors),
        options: case.options.loss(),
        terms: Default::default(),
    }
}

#[test]
fn a_batch_is_weighed_in_two_launches_its_samples_in_one_and_the_loss_takes_one_and_its_sum() {
    for classes in [10, 33] {
        let case = Case::random(1, 5, classes, 4.0, 5.0);
        let weighed = assert_launches("weighing", 2, || case.weigh(DType::F32));
        assert_launches("loss", 1, || case.launch(&weighed, DType::F32));
        let student = upload(&case.student, &[5, classes], DType::F32);
        let (tape, student) = (Tape::new(), Var::constant(student));
        let whole = || tape.apply(operation(&case, DType::F32), &[&student]);
        assert_launches("a step", 4, whole).unwrap();
        let case = case.by_sample();
        assert_launches("samples", 1, || case.weigh(DType::F32));
    }
    let none = Case::random(1, 0, 33, 4.0, 5.0);
    let weighed = assert_launches("weighing nothing", 0, || none.weigh(DType::F32));
    let out = assert_launches("no loss", 0, || none.launch(&weighed, DType::F32));
    assert_eq!(
        (download(&out.losses), download(&out.grad)),
        (vec![], vec![])
    );
    assert_eq!(download(&weighed.weights), vec![0.0; 4]);
    assert_eq!(download(&weighed.factors), vec![1.0, 0.0, 0.0]);
    let weighed = assert_launches("no samples", 0, || none.by_sample().weigh(DType::F32));
    assert_eq!(
        (weighed.weights.len(), weighed.factors.shape()),
        (0, &[0, 3][..])
    );
}

#[test]
fn results_have_the_same_bits_on_one_core() {
    let mut fingerprint = Fingerprint::default();
    for (batch, classes) in [(33, 100), (64, 10), (3, 5000)] {
        let case = Case::random(9, batch, classes, 16.0, 2.0);
        for case in [case.clone(), case.by_sample()] {
            let (weighed, again) = (case.weigh(DType::F32), case.weigh(DType::F32));
            assert_same_bits("weights", &weighed.weights, &again.weights);
            assert_same_bits("factors", &weighed.factors, &again.factors);
            let out = case.launch(&weighed, DType::F32);
            fingerprint.add(&weighed.weights);
            fingerprint.add(&weighed.factors);
            fingerprint.add(&out.losses);
            fingerprint.add(&out.grad);
        }
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
    #![proptest_config(cases(48))]

    #[test]
    fn samples_and_proportions_agree_with_the_reference(
        case in problems(),
        (proportional, by_sample) in any::<(bool, bool)>(),
    ) {
        let mut case = case;
        if proportional {
            case.options.rule = Rule::Proportional;
        }
        case.options.scope = if by_sample { Scope::Sample } else { Scope::Batch };
        let found = case.run(DType::F32);
        let [first, second] = case.teachers.each_ref().map(Vec::as_slice);
        let (wanted, _) = reference::weigh(&case.problem(), first, second);
        assert_eq!(found.weights.len(), wanted.len());
        let mut factors = Vec::new();
        for (got, wanted) in found.weights.chunks(4).zip(wanted.chunks(4)) {
            assert_near("confidences", &got[..2], &wanted[..2], 2e-6);
            // From the confidences as the device has them: rounding may carry one over a threshold.
            let chosen = reference::weights([got[0], got[1]], &case.options);
            assert_near("weights", &got[2..], &chosen, 2e-6);
            factors.extend(reference::factors(chosen));
        }
        assert_near("factors", &found.factors, &factors, 2e-6);
        let wanted = case.reference_of(found.weights.clone(), found.factors.clone());
        let (loss_unit, grad_unit) = case.units();
        for (got, wanted) in found.loss.iter().zip(&wanted.loss) {
            prop_assert!((got - wanted).abs() <= 2e-5 * wanted + 2e-6 * loss_unit);
        }
        assert_near("gradient", &found.grad, &wanted.grad, 1e-5 * grad_unit);
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
            let op = operation(&case, DType::F64);
            let input = (values(u64::from(seed) + 1, batch * classes), vec![batch, classes]);
            let options = GradcheckOptions::default();
            gradcheck(&client(), &[input], |tape, v| tape.apply(op.clone(), &[&v[0]]), options)?;
        }
    }
}
