//! The rule that turns two confidences into two weights, on the device.

use crate::case::{Case, assert_near, at};
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::dual_teacher::{DualTeacherOptions, Rule, Thresholds, reference};
use ghostlight_tests::dtypes_with_exp;

/// Logits of one row of ten classes whose largest softmax at `temperature` is `confidence`.
fn row(confidence: f64, temperature: f64) -> Vec<f64> {
    let margin = (9.0 * confidence / (1.0 - confidence)).ln() * temperature;
    let mut row = vec![0.0; 10];
    row[3] = f64::from(margin as f32);
    row
}

/// A batch whose rows' confidences are half of `spread` above and below `confidence`, in turn.
fn batch(confidence: f64, spread: f64, temperature: f64) -> Vec<f64> {
    let rows = [spread, -spread, spread, -spread].map(|s| row(confidence + s / 2.0, temperature));
    rows.concat()
}

fn case(c1: f64, c2: f64, temperature: f64) -> Case {
    Case {
        teachers: [batch(c1, 0.1, temperature), batch(c2, 0.06, temperature)],
        ..Case::random(1, 4, 10, 2.0, temperature)
    }
}

const POINTS: [([f64; 2], [f64; 2]); 10] = [
    ([0.3, 0.3], [0.0, 0.0]),
    ([0.5, 0.45], [0.4, 0.35]),
    ([0.2, 0.5], [0.1, 0.4]),
    ([0.5, 0.2], [0.4, 0.1]),
    ([0.5, 0.7], [0.3, 0.7]),
    ([0.2, 0.7], [0.3, 0.7]),
    ([0.7, 0.5], [0.7, 0.3]),
    ([0.7, 0.2], [0.7, 0.3]),
    ([0.8, 0.9], [0.5, 0.5]),
    ([0.9, 0.61], [0.5, 0.5]),
];

#[test]
fn every_case_of_the_rule_gives_its_weights() {
    for (confidences, weights) in POINTS {
        let wanted = [confidences, weights].concat();
        let found = reference::weights(confidences, &DualTeacherOptions::default());
        assert_near("reference", &found, &weights, 1e-15);
        for temperature in [1.0, 5.0] {
            let [c1, c2] = confidences;
            for dtype in dtypes_with_exp() {
                let what = format!("{confidences:?} at {temperature} in {dtype:?}");
                let found = case(c1, c2, temperature).run(dtype).weights;
                assert_near(&what, &found, &wanted, 1e-6);
            }
        }
    }
}

#[test]
fn the_softened_probabilities_count_not_those_at_temperature_1() {
    // A margin of 10 over nine equal others: certain at temperature 1, 0.45 at 5, as `docs/methods.md` section 4.3 remarks.
    let mut row = vec![0.0; 10];
    row[0] = 10.0;
    let mut case = Case::random(1, 1, 10, 2.0, 5.0);
    case.teachers = [row.clone(), row];
    let c = 2f64.exp() / (2f64.exp() + 9.0);
    let wanted = [c, c, c - 0.1, c - 0.1];
    assert_near("weights", &case.run(DType::F32).weights, &wanted, 1e-6);
}

#[test]
fn a_confidence_at_a_threshold_has_passed_it() {
    // Even logits over 2 and 4 classes: the confidences are 1/2 and 1/4 without any rounding.
    let even = |classes: usize, low: f64, high: f64| {
        let mut case = Case::random(1, 3, classes, 1.0, 5.0);
        case.teachers = case.teachers.map(|v| vec![7.0; v.len()]);
        (case.literals().low, case.literals().high) = (low, high);
        dtypes_with_exp()
            .into_iter()
            .map(move |dtype| case.run(dtype).weights)
    };
    for found in even(2, 0.25, 0.5) {
        assert_eq!(found, [0.5, 0.5, 0.5, 0.5]);
    }
    for found in even(4, 0.25, 0.5) {
        assert_eq!(found, [0.25, 0.25, 0.25, 0.25]);
    }
    for found in even(4, 0.5, 0.5) {
        assert_eq!(found, [0.25, 0.25, 0.0, 0.0]);
    }
}

#[test]
fn every_literal_of_the_rule_can_be_chosen() {
    let literals = Thresholds {
        low: 0.25,
        high: 0.75,
        minimum: 0.125,
        even: 0.375,
        lesser: 0.0,
        greater: 1.0,
    };
    let options = DualTeacherOptions {
        rule: Rule::Thresholds(literals),
        ..at(1.0)
    };
    let points = [
        ([0.2, 0.2], [0.0, 0.0]),
        ([0.2, 0.6], [0.125, 0.225]),
        ([0.7, 0.8], [0.0, 1.0]),
        ([0.8, 0.7], [1.0, 0.0]),
        ([0.8, 0.8], [0.375, 0.375]),
    ];
    for ([c1, c2], weights) in points {
        let case = Case {
            options,
            ..case(c1, c2, 1.0)
        };
        assert_near(
            "weights",
            &case.run(DType::F32).weights[2..],
            &weights,
            1e-6,
        );
    }
    assert_eq!(at(5.0), DualTeacherOptions::default());
}

#[test]
fn the_confidence_of_a_large_batch_does_not_drift() {
    let mut case = Case::random(3, 20_001, 10, 8.0, 2.0);
    case.student.fill(0.0);
    let (found, wanted) = (case.weigh(DType::F32), case.reference(None).weights);
    let found = ghostlight_tests::download(&found.weights);
    assert_near("confidences", &found[..2], &wanted[..2], 3e-7);
}

#[test]
fn the_factors_are_the_weights_shares_of_labels_and_teachers() {
    for (confidences, [alpha, beta]) in POINTS {
        let [c1, c2] = confidences;
        let found = case(c1, c2, 5.0).run(DType::F32).factors;
        let soft = (alpha + beta) / 2.0;
        let wanted = [1.0 - soft, soft * alpha, soft * beta];
        assert_near("factors", &found, &wanted, 1e-6);
    }
}

#[test]
fn each_sample_is_weighed_by_its_own_confidences() {
    let rows = |c: [f64; 3]| c.map(|c| row(c, 5.0)).concat();
    let case = Case {
        teachers: [rows([0.3, 0.5, 0.8]), rows([0.3, 0.7, 0.5])],
        ..Case::random(1, 3, 10, 2.0, 5.0)
    };
    let found = case.by_sample().run(DType::F32);
    let wanted = [
        [0.3, 0.3, 0.0, 0.0],
        [0.5, 0.7, 0.3, 0.7],
        [0.8, 0.5, 0.7, 0.3],
    ];
    assert_near("weights", &found.weights, &wanted.concat(), 1e-6);
    let wanted = [[1.0, 0.0, 0.0], [0.5, 0.15, 0.35], [0.5, 0.35, 0.15]];
    assert_near("factors", &found.factors, &wanted.concat(), 1e-6);
}

#[test]
fn proportional_weights_are_each_teachers_share_of_both_confidences() {
    let mut case = case(0.3, 0.9, 5.0);
    case.options.rule = Rule::Proportional;
    let found = case.run(DType::F32);
    assert_near("weights", &found.weights, &[0.3, 0.9, 0.25, 0.75], 1e-6);
    assert_near("factors", &found.factors, &[0.5, 0.125, 0.375], 1e-6);
    let found = case.by_sample().run(DType::F32);
    for (got, factors) in found.weights.chunks(4).zip(found.factors.chunks(3)) {
        let wanted = got[0] / (got[0] + got[1]);
        assert_near("weights", &got[2..], &[wanted, 1.0 - wanted], 1e-6);
        assert_near("labels", &factors[..1], &[0.5], 1e-6);
    }
}
