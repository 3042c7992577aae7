use super::*;
use crate::recipe::Distill;
use ghostlight_autodiff::DType;
use ghostlight_autodiff::check::values;
use ghostlight_kernels::loss::dkd::reference::terms;
use ghostlight_tests::{client, download, has_f64_exp};

const CLASSES: usize = 4;
const LABELS: [u32; 3] = [3, 0, 2];

/// Logits `[3, 4]` of either network.
fn logits(seed: u64) -> Vec<f64> {
    let drawn = values(seed, LABELS.len() * CLASSES);
    drawn.into_iter().map(|v| 3.0 * v).collect()
}

/// The terms of a method by name, as they enter the sum.
fn weighted(method: &dyn Method, epoch: usize) -> Vec<(&'static str, f64)> {
    let upload = |values: &[f64]| {
        Tensor::from_f64(&client(), values, &[LABELS.len(), CLASSES], DType::F64).unwrap()
    };
    let (student, teacher) = (Var::constant(upload(&logits(1))), upload(&logits(2)));
    let tape = Tape::new();
    let lesson = Lesson {
        tape: &tape,
        student: &student,
        teacher: Some(&teacher),
        labels: &Labels::new(&client(), &LABELS, CLASSES).unwrap(),
        epoch,
    };
    let terms = method.terms(&lesson).unwrap();
    let value = |term: &Term| term.weight * download(term.value.tensor())[0];
    terms.iter().map(|term| (term.name, value(term))).collect()
}

/// `- sum of target log p`, averaged over the batch.
fn cross_entropy(smoothing: f64) -> f64 {
    let logits = logits(1);
    let losses = logits.chunks(CLASSES).zip(LABELS).map(|(row, label)| {
        let sum = row.iter().map(|z| z.exp()).sum::<f64>();
        let target = |class: usize| {
            let hit = if class == label as usize {
                1.0 - smoothing
            } else {
                0.0
            };
            hit + smoothing / CLASSES as f64
        };
        let products = row
            .iter()
            .enumerate()
            .map(|(j, z)| -target(j) * (z.exp() / sum).ln());
        products.sum::<f64>()
    });
    losses.sum::<f64>() / LABELS.len() as f64
}

#[track_caller]
fn assert_terms(found: &[(&str, f64)], wanted: &[(&str, f64)]) {
    let close = |(a, b): (&(&str, f64), &(&str, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9;
    assert_eq!(found.len(), wanted.len());
    assert!(
        found.iter().zip(wanted).all(close),
        "{found:?}, wanted {wanted:?}"
    );
}

#[test]
fn a_network_that_learns_alone_minimises_the_smoothed_cross_entropy() {
    if !has_f64_exp() {
        return;
    }
    for smoothing in [0.0, 0.3] {
        let method = Supervised { smoothing };
        assert!(!method.needs_teacher());
        assert_eq!(method.names(), ["ce"]);
        let wanted = [("ce", cross_entropy(smoothing))];
        assert_terms(&weighted(&method, 1), &wanted);
    }
}

#[test]
fn dkd_adds_its_two_parts_to_the_cross_entropy_each_with_its_weight_and_ramps_up() {
    if !has_f64_exp() {
        return;
    }
    let (student, teacher) = (logits(1), logits(2));
    let distill = Distill {
        alpha: 0.5,
        beta: 3.0,
        temperature: 2.5,
        ce_weight: 0.75,
        warmup_epochs: 4,
        ..Distill::default()
    };
    let method = DkdMethod {
        distill,
        supervised: Supervised { smoothing: 0.2 },
    };
    assert!(method.needs_teacher());
    assert_eq!(method.names(), ["ce", "dkd"]);
    let rows = student
        .chunks(CLASSES)
        .zip(teacher.chunks(CLASSES))
        .zip(LABELS);
    let dkd = rows.map(|((student, teacher), label)| {
        let parts = terms(student, teacher, label, 2.5);
        2.5 * 2.5 * (0.5 * parts.tckd + 3.0 * parts.nckd)
    });
    let dkd = dkd.sum::<f64>() / LABELS.len() as f64;
    for (epoch, share) in [(1, 0.25), (3, 0.75), (4, 1.0), (9, 1.0)] {
        let wanted = [("ce", 0.75 * cross_entropy(0.2)), ("dkd", share * dkd)];
        assert_terms(&weighted(&method, epoch), &wanted);
    }
}

#[test]
fn dkd_without_a_teacher_is_refused() {
    let client = client();
    let student = Tensor::zeros(&client, &[1, CLASSES], DType::F32);
    let tape = Tape::new();
    let lesson = Lesson {
        tape: &tape,
        student: &Var::constant(student),
        teacher: None,
        labels: &Labels::new(&client, &[0], CLASSES).unwrap(),
        epoch: 1,
    };
    let method = DkdMethod {
        distill: Distill::default(),
        supervised: Supervised { smoothing: 0.0 },
    };
    let refused = method.terms(&lesson).err().expect("a refusal").to_string();
    assert!(refused.contains("teacher"), "{refused}");
}
