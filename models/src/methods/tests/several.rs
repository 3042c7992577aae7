//! Several teachers, several terms, and the weights of both.

use super::*;
use ghostlight_tests::assert_launches;

/// The value of the term `name`.
#[track_caller]
fn term(found: &Found, name: &str) -> f64 {
    let term = found.terms.iter().find(|(known, _)| known == name);
    term.unwrap_or_else(|| panic!("no {name} in {:?}", found.terms))
        .1
}

#[track_caller]
fn assert_close(what: &str, found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() < 1e-9,
        "{what}: {found}, wanted {wanted}"
    );
}

#[test]
fn teachers_that_teach_together_share_the_weight_of_every_term() {
    if !has_f64_exp() {
        return;
    }
    let text = |teachers: &str| {
        format!(
            "distill = {{ warmup_epochs = 0, teachers = {teachers}, kd = {{ weight = 3 }}, cosine = {{ weight = 0.5 }} }}"
        )
    };
    let scene = Scene::of(3);
    let both = way(&text("[3, 1]"), 0.0, 3);
    assert_eq!(both.names(), ["ce", "kd 3", "cosine 3", "kd 1", "cosine 1"]);
    let found = scene.under(&both, 1, 1);
    for teacher in [1, 3] {
        let one = way(&text(&format!("[{teacher}]")), 0.0, 3);
        assert_eq!(one.names(), ["ce", "kd", "cosine"]);
        let alone = scene.under(&one, 1, 1);
        for name in ["kd", "cosine"] {
            let shared = term(&found, &format!("{name} {teacher}"));
            assert_close(name, 2.0 * shared, term(&alone, name));
        }
        assert_close("labels", term(&found, "ce"), term(&alone, "ce"));
    }
}

#[test]
fn teachers_in_turn_are_asked_one_after_the_other_and_have_the_whole_weight() {
    if !has_f64_exp() {
        return;
    }
    let in_turn = way(
        "distill = { warmup_epochs = 0, turns = 'in_turn', kd = {} }",
        0.0,
        2,
    );
    assert_eq!(in_turn.names(), ["ce", "kd 1", "kd 2"]);
    let scene = Scene::of(2);
    for (epoch, teacher) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let needs = in_turn.needs(epoch, 5);
        let asked: Vec<usize> = needs.iter().map(|need| need.teacher + 1).collect();
        assert_eq!(asked, [teacher], "epoch {epoch}");
        let found = scene.under(&in_turn, epoch, 5);
        let one = way(
            &format!("distill = {{ warmup_epochs = 0, teachers = [{teacher}], kd = {{}} }}"),
            0.0,
            2,
        );
        let alone = scene.under(&one, epoch, 5);
        assert_eq!(found.terms.len(), 2, "{:?}", found.terms);
        assert_close(
            "kd",
            term(&found, &format!("kd {teacher}")),
            term(&alone, "kd"),
        );
    }
    // With fewer epochs than teachers the first ones have their turn.
    assert_eq!(in_turn.needs(1, 1)[0].teacher, 0);
}

#[test]
fn the_terms_of_a_combination_are_those_of_its_parts_and_so_is_the_gradient() {
    if !has_f64_exp() {
        return;
    }
    let parts = [
        "kd = { weight = 0.9 }",
        "dkd = { beta = 2 }",
        "cosine = { of = 'centred', weight = 2 }",
    ];
    let text = |terms: &str| format!("distill = {{ ce_weight = 0, warmup_epochs = 0, {terms} }}");
    let scene = Scene::of(1);
    let whole = scene.under(&way(&text(&parts.join(", ")), 0.0, 1), 1, 1);
    let mut gradient = vec![0.0; whole.gradient.len()];
    for (part, name) in parts.into_iter().zip(["kd", "dkd", "cosine"]) {
        let found = scene.under(&way(&text(part), 0.0, 1), 1, 1);
        assert_close(name, term(&whole, name), found.total());
        gradient
            .iter_mut()
            .zip(&found.gradient)
            .for_each(|(sum, part)| *sum += part);
    }
    for (whole, sum) in whole.gradient.iter().zip(&gradient) {
        assert_close("gradient", *whole, *sum);
    }
}

#[test]
fn only_the_teachers_terms_ramp_up() {
    if !has_f64_exp() {
        return;
    }
    let way = way(
        "distill = { warmup_epochs = 4, kd = {}, dkd = {}, cosine = {} }",
        0.0,
        1,
    );
    let found = [1, 2, 4, 7].map(|epoch| Scene::of(1).under(&way, epoch, 7));
    for (found, share) in found.iter().zip([0.25, 0.5, 1.0, 1.0]) {
        let whole = Scene::of(1).under(&way, 4, 7);
        assert_close("labels", term(found, "ce"), term(&whole, "ce"));
        for name in ["kd", "dkd", "cosine"] {
            assert_close(name, term(found, name), share * term(&whole, name));
        }
    }
}

/// Logits of rows of ten classes whose largest softmaxes at temperature 5 are `confidences`.
fn confident(confidences: &[f64]) -> Vec<f64> {
    let row = |c: &f64| {
        let mut row = [0.0; 10];
        row[1] = 5.0 * (9.0 * c / (1.0 - c)).ln();
        row
    };
    confidences.iter().flat_map(row).collect()
}

/// What a way with two teachers watches of rows of these confidences.
fn weights(text: &str, confidences: [&[f64]; 2]) -> [f64; 2] {
    let rows = confidences[0].len();
    let scene = Scene {
        student: values(1, 10 * rows),
        teachers: confidences.map(confident).to_vec(),
        labels: vec![1; rows],
    };
    let way = way(&format!("distill = {{ dual = {{ {text} }} }}"), 0.0, 2);
    let watched = scene.under(&way, 1, 1).watched;
    for (teacher, confidences) in confidences.iter().enumerate() {
        let mean = confidences.iter().sum::<f64>() / rows as f64;
        assert!((watched[teacher].1 - mean).abs() < 1e-6, "{watched:?}");
    }
    [watched[2].1, watched[3].1]
}

#[track_caller]
fn assert_weights(found: [f64; 2], wanted: [f64; 2]) {
    let close = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close, "{found:?}, wanted {wanted:?}");
}

#[test]
fn every_case_of_the_rule_gives_two_teachers_their_weights() {
    if !has_f64_exp() {
        return;
    }
    for (confidences, wanted) in [
        ([0.3, 0.3], [0.0, 0.0]),
        ([0.5, 0.45], [0.4, 0.35]),
        ([0.2, 0.5], [0.1, 0.4]),
        ([0.5, 0.7], [0.3, 0.7]),
        ([0.7, 0.5], [0.7, 0.3]),
        ([0.8, 0.9], [0.5, 0.5]),
    ] {
        let [first, second] = confidences.map(|c| [c, c]);
        assert_weights(weights("", [&first, &second]), wanted);
    }
}

#[test]
fn a_rule_of_ones_own_and_weights_in_proportion_and_by_sample_are_followed() {
    if !has_f64_exp() {
        return;
    }
    let own = "low = 0.2, high = 0.9, minimum = 0.05, even = 0.45, lesser = 0.1, greater = 0.8";
    for (confidences, wanted) in [
        ([0.7, 0.3], [0.25, 0.05]),
        ([0.95, 0.3], [0.8, 0.1]),
        ([0.95, 0.95], [0.45, 0.45]),
    ] {
        let [first, second] = confidences.map(|c| [c, c]);
        assert_weights(weights(own, [&first, &second]), wanted);
    }
    assert_weights(
        weights("rule = 'proportional'", [&[0.6, 0.6], &[0.3, 0.3]]),
        [2.0 / 3.0, 1.0 / 3.0],
    );
    // One sample of which nothing is learnt, and one of two sure teachers; together they are half sure.
    let (first, second) = ([0.3, 0.8], [0.3, 0.7]);
    assert_weights(
        weights("per_sample = true", [&first, &second]),
        [0.25, 0.25],
    );
    assert_weights(weights("", [&first, &second]), [0.45, 0.4]);
}

#[test]
fn all_logit_terms_of_a_step_are_one_launch_however_many_teachers_there_are() {
    let text = "distill = { kd = {}, dkd = {}, cosine = {} }";
    let mut counts = Vec::new();
    for teachers in 1..=4 {
        let way = way(text, 0.1, teachers);
        let shape = [LABELS.len(), CLASSES];
        let tensor = |seed| upload(&logits(seed), &shape, DType::F32);
        let answers = |seed| Answers {
            logits: tensor(seed),
            stages: Vec::new(),
        };
        let tape = Tape::new();
        let student = Answers {
            logits: tape
                .leaf(&tensor(1), &upload(&[0.0; 12], &shape, DType::F32))
                .unwrap(),
            stages: Vec::new(),
        };
        let taught: Vec<_> = (0..teachers as u64)
            .map(|seed| Some(answers(2 + seed)))
            .collect();
        let lesson = Lesson {
            tape: &tape,
            student: &student,
            teachers: &taught,
            labels: &Labels::new(&client(), &LABELS, CLASSES).unwrap(),
            mixed: None,
            epoch: 1,
            seed: 1,
        };
        // The walk over the rows, and the sum of their losses.
        let loss = assert_launches("a step's loss", 2, || way.loss(&lesson, 1).unwrap());
        assert_eq!(read(loss.terms).unwrap().len(), 1 + 3 * teachers);
        counts.push(loss.outputs.len());
    }
    assert_eq!(counts, [1; 4]);
}
