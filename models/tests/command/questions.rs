//! What a finished run answers: `eval` and `predict`.

use crate::desk::Outcome;
use crate::pictures::{classes, picture};
use crate::reference::{PHASES, copy, reference};
use ghostlight_models::run::RunDir;
use serde_json::Value;
use std::fs;

/// The classes of the synthetic images.
const SYNTHETIC: [&str; 10] = [
    "coast", "fields", "forest", "houses", "industry", "meadow", "orchard", "river", "road",
    "water",
];

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).expect("one JSON value")
}

#[test]
fn the_runs_own_data_is_evaluated_on_its_test_images_only() {
    let Outcome { stdout, stderr, .. } = reference()
        .desk
        .ghostlight("eval run --data synthetic --json")
        .assert_success();
    assert!(stderr.contains("evaluating its 20 test images"), "{stderr}");
    let (found, then): (Value, Value) = (
        serde_json::from_str(&stdout).expect("one JSON object"),
        json(&reference().outcome),
    );
    for phase in PHASES {
        assert_eq!(found[phase]["images"], 20);
        for figure in ["arch", "accuracy", "macro_precision", "macro_recall"] {
            assert_eq!(
                found[phase][figure], then[phase][figure],
                "{figure} of {phase}"
            );
        }
    }
}

#[test]
fn a_folder_with_the_runs_classes_is_evaluated_whole_at_the_runs_size() {
    let desk = copy();
    classes(&desk.at("data"), &SYNTHETIC, 2);
    let outcome = desk.ghostlight("eval run --data data").assert_success();
    assert!(
        outcome.stderr.contains("20 images were resized to 16 x 16"),
        "{outcome:#?}"
    );
    assert!(!outcome.stderr.contains("test images"), "{outcome:#?}");
    for title in ["teacher", "student alone", "student distilled"] {
        let row = outcome.stdout.lines().find(|line| line.starts_with(title));
        assert!(
            row.is_some_and(|row| row.contains("accuracy")),
            "{outcome:#?}"
        );
    }
}

#[test]
fn a_folder_with_other_classes_is_refused_with_both() {
    let desk = copy();
    classes(&desk.at("data"), &["forest", "glacier"], 2);
    desk.refuses("eval run --data data", &["glacier", "orchard", "data"]);
    desk.refuses("eval run --data nowhere", &["`nowhere`", "does not exist"]);
    desk.refuses("eval nowhere --data data", &["no run in nowhere"]);
}

#[test]
fn images_of_every_format_and_size_are_classified() {
    let desk = copy();
    let images = ["tile.png", "photo.jpeg", "scan.tiff"];
    for (image, size) in images.into_iter().zip([(16, 16), (40, 30), (9, 70)]) {
        picture(&desk.at(image), size, 5);
    }
    let words = format!("predict run {}", images.join(" "));
    let plain = desk.ghostlight(&words).assert_success();
    let lines: Vec<&str> = plain.stdout.lines().collect();
    assert_eq!(lines.len(), images.len(), "{plain:#?}");
    let found = json(&desk.ghostlight(&format!("{words} --json")).assert_success());
    for ((line, image), entry) in lines.iter().zip(images).zip(found.as_array().unwrap()) {
        assert_eq!(entry["image"], image);
        let named = entry["classes"].as_array().unwrap();
        let class = |place: usize| named[place]["class"].as_str().unwrap();
        let probability = |place: usize| named[place]["probability"].as_f64().unwrap();
        assert!(SYNTHETIC.contains(&class(0)), "{entry}");
        assert!(probability(0) >= probability(1) && probability(1) >= probability(2));
        assert!(probability(0) >= 0.1 && (0..3).map(probability).sum::<f64>() < 1.0001);
        let best = format!("{image}: {} {:.1} %", class(0), 100.0 * probability(0));
        assert!(line.starts_with(&best), "{line} does not begin with {best}");
    }
}

#[test]
fn an_image_that_cannot_be_read_is_named_before_any_answer() {
    let desk = copy();
    picture(&desk.at("tile.png"), (16, 16), 5);
    fs::write(desk.at("notes.png"), "a shopping list").unwrap();
    fs::write(desk.at("empty.jpg"), "").unwrap();
    desk.refuses(
        "predict run tile.png notes.png",
        &["notes.png", "neither JPEG"],
    );
    desk.refuses(
        "predict run tile.png empty.jpg --json",
        &["empty.jpg", "0 bytes"],
    );
    desk.refuses("predict run nowhere.png", &["nowhere.png", "No such file"]);
    desk.refuses("predict run tile.png --model tutor", &["tutor", "teacher"]);
    desk.refuses("predict nowhere tile.png", &["no run in nowhere"]);
}

#[test]
fn a_network_with_a_weight_that_is_not_a_number_answers_no_questions() {
    let desk = copy();
    let run = RunDir::open(&desk.at("run")).unwrap();
    for phase in PHASES {
        let mut checkpoint = run.load_checkpoint(phase).unwrap().unwrap();
        let mut weights = checkpoint.weights.iter_mut();
        let first = weights.find(|tensor| tensor.name == "conv1.weight");
        first.unwrap().data[4] = f32::NAN;
        run.save_checkpoint(phase, &checkpoint).unwrap();
    }
    drop(run);
    picture(&desk.at("tile.png"), (16, 16), 5);
    let named = ["resnet8 are not finite", "train.peak_lr"];
    desk.refuses("predict run tile.png", &named);
    desk.refuses("predict run tile.png --json", &named);
    desk.refuses("eval run --data synthetic", &named);
}

#[test]
fn an_unfinished_run_answers_no_questions() {
    let desk = copy();
    fs::remove_file(desk.at("run/checkpoints/student_distilled.safetensors")).unwrap();
    picture(&desk.at("tile.png"), (16, 16), 5);
    let named = [
        "no finished student_distilled",
        "distill --out run --resume",
    ];
    desk.refuses("predict run tile.png", &named);
}
