//! What a finished run answers: `eval` and `predict`.

use crate::pictures::{classes, picture};
use crate::reference::{TRAININGS, copy, network, reference};
use crate::sandbox::Outcome;
use ghostlight_models::metrics::Confusion;
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
        .sandbox
        .ghostlight("eval run --data synthetic --json")
        .assert_success();
    assert!(
        stderr.contains("60 of 80 images were trained or validated on and are left out"),
        "{stderr}"
    );
    let (found, then): (Value, Value) = (
        serde_json::from_str(&stdout).expect("one JSON object"),
        json(&reference().outcome),
    );
    for phase in TRAININGS {
        assert_eq!(found[phase]["images"], 20);
        for figure in ["arch", "accuracy", "macro_precision", "macro_recall"] {
            assert_eq!(
                found[phase][figure],
                network(&then, phase)[figure],
                "{figure} of {phase}"
            );
        }
    }
}

#[test]
fn a_folder_with_the_runs_classes_is_evaluated_whole_at_the_runs_size() {
    let sandbox = copy();
    classes(&sandbox.at("data"), &SYNTHETIC, 2);
    let outcome = sandbox.ghostlight("eval run --data data").assert_success();
    assert!(
        outcome.stderr.contains("20 images were resized to 16 x 16"),
        "{outcome:#?}"
    );
    assert!(!outcome.stderr.contains("left out"), "{outcome:#?}");
    for title in ["teacher", "student alone", "student by dkd"] {
        let row = outcome.stdout.lines().find(|line| line.starts_with(title));
        assert!(
            row.is_some_and(|row| row.contains("accuracy")),
            "{outcome:#?}"
        );
    }
}

#[test]
fn a_run_without_digests_is_evaluated_on_its_own_images_and_on_no_others() {
    let sandbox = copy();
    let whole = sandbox
        .ghostlight("eval run --data synthetic")
        .assert_success();
    let split = sandbox.at("run/split.json");
    let mut older: Value = serde_json::from_slice(&fs::read(&split).unwrap()).unwrap();
    for missing in [vec!["digests"], vec!["digests", "skip_bad"]] {
        missing
            .iter()
            .for_each(|field| _ = older.as_object_mut().unwrap().remove(*field));
        fs::write(&split, older.to_string()).unwrap();
        let outcome = sandbox
            .ghostlight("eval run --data synthetic")
            .assert_success();
        assert_eq!(figures(&outcome.stdout), figures(&whole.stdout));
        assert!(outcome.stderr.contains("60 of 80 images"), "{outcome:#?}");
    }
    classes(&sandbox.at("data"), &SYNTHETIC, 2);
    sandbox.refuses(
        "eval run --data data",
        &[
            "`digests` in split.json",
            "of data",
            "on synthetic",
            "a new run",
        ],
    );
    let resumed = sandbox.ghostlight("distill --resume --out run");
    resumed.assert_success();
}

/// What `eval` printed, without the speeds.
fn figures(stdout: &str) -> Vec<String> {
    let row = |line: &str| {
        line.split("  ")
            .filter(|it| !it.contains("images/s"))
            .collect()
    };
    stdout.lines().map(row).collect()
}

#[test]
fn images_asked_about_one_by_one_get_the_answers_that_their_folder_is_scored_by() {
    let sandbox = copy();
    let each = 4;
    classes(&sandbox.at("data"), &SYNTHETIC, each);
    let scored = json(
        &sandbox
            .ghostlight("eval run --data data --json")
            .assert_success(),
    );
    let images: Vec<(usize, String)> = (0..SYNTHETIC.len())
        .flat_map(|class| (0..each).map(move |i| (class, i)))
        .map(|(class, i)| (class, format!("data/{}/{i}.png", SYNTHETIC[class])))
        .collect();
    let paths: Vec<&str> = images.iter().map(|(_, path)| path.as_str()).collect();
    for phase in TRAININGS {
        let words = format!("predict run {} --model {phase} --json", paths.join(" "));
        let found = json(&sandbox.ghostlight(&words).assert_success());
        let mut confusion = vec![vec![0; SYNTHETIC.len()]; SYNTHETIC.len()];
        for ((truth, path), entry) in images.iter().zip(found.as_array().unwrap()) {
            assert_eq!(entry["image"], path.as_str());
            let class = entry["classes"][0]["class"].as_str().unwrap();
            let class = SYNTHETIC.iter().position(|name| *name == class).unwrap();
            confusion[*truth][class] += 1;
        }
        let confusion = Confusion::try_from(confusion).unwrap();
        for (figure, counted) in [
            ("accuracy", confusion.accuracy()),
            ("macro_precision", confusion.macro_precision()),
            ("macro_recall", confusion.macro_recall()),
        ] {
            let scored = scored[phase][figure].as_f64().unwrap();
            let close = (scored - counted).abs() < 1e-9;
            assert!(close, "{figure} of {phase}: {scored}, counted {counted}");
        }
    }
}

#[test]
fn a_folder_with_other_classes_is_refused_with_both() {
    let sandbox = copy();
    classes(&sandbox.at("data"), &["forest", "glacier"], 2);
    sandbox.refuses("eval run --data data", &["glacier", "orchard", "data"]);
    sandbox.refuses("eval run --data nowhere", &["`nowhere`", "does not exist"]);
    sandbox.refuses("eval nowhere --data data", &["no run in nowhere"]);
}

#[test]
fn images_of_every_format_and_size_are_classified() {
    let sandbox = copy();
    let images = ["tile.png", "photo.jpeg", "scan.tiff"];
    for (image, size) in images.into_iter().zip([(16, 16), (40, 30), (9, 70)]) {
        picture(&sandbox.at(image), size, 5);
    }
    let words = format!("predict run {}", images.join(" "));
    let plain = sandbox.ghostlight(&words).assert_success();
    let lines: Vec<&str> = plain.stdout.lines().collect();
    assert_eq!(lines.len(), images.len(), "{plain:#?}");
    let found = json(
        &sandbox
            .ghostlight(&format!("{words} --json"))
            .assert_success(),
    );
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
    let sandbox = copy();
    picture(&sandbox.at("tile.png"), (16, 16), 5);
    fs::write(sandbox.at("notes.png"), "a shopping list").unwrap();
    fs::write(sandbox.at("empty.jpg"), "").unwrap();
    sandbox.refuses(
        "predict run tile.png notes.png",
        &["notes.png", "neither JPEG"],
    );
    sandbox.refuses(
        "predict run tile.png empty.jpg --json",
        &["empty.jpg", "0 bytes"],
    );
    sandbox.refuses("predict run nowhere.png", &["nowhere.png", "No such file"]);
    sandbox.refuses("predict run tile.png --model tutor", &["tutor", "teacher"]);
    sandbox.refuses("predict nowhere tile.png", &["no run in nowhere"]);
}

#[test]
fn a_network_with_a_weight_that_is_not_a_number_answers_no_questions() {
    let sandbox = copy();
    let run = RunDir::open(&sandbox.at("run")).unwrap();
    for phase in TRAININGS {
        let mut checkpoint = run.load_checkpoint(phase).unwrap().unwrap();
        let mut weights = checkpoint.weights.iter_mut();
        let first = weights.find(|tensor| tensor.name == "conv1.weight");
        first.unwrap().data[4] = f32::NAN;
        run.save_checkpoint(phase, &checkpoint).unwrap();
    }
    drop(run);
    picture(&sandbox.at("tile.png"), (16, 16), 5);
    let named = ["resnet8 are not finite", "train.peak_lr"];
    sandbox.refuses("predict run tile.png", &named);
    sandbox.refuses("predict run tile.png --json", &named);
    sandbox.refuses("eval run --data synthetic", &named);
}

#[test]
fn an_unfinished_run_answers_no_questions() {
    let sandbox = copy();
    fs::remove_file(sandbox.at("run/checkpoints/student_dkd.safetensors")).unwrap();
    picture(&sandbox.at("tile.png"), (16, 16), 5);
    let way_on = format!("distill --out {} --resume`", sandbox.at("run").display());
    let named = ["no finished student_dkd", &way_on];
    sandbox.refuses("predict run tile.png", &named);
}
