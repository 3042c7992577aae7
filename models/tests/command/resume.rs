//! Going on with a run: with another recipe, other images, or a damaged file, and when nothing is left to do.

use crate::pictures::classes;
use crate::reference::{assert_same_as_reference, copy, network, reference};
use crate::sandbox::{Outcome, PROGRAM, Sandbox};
use std::fs;

#[test]
fn nothing_is_resumed_where_there_is_no_run() {
    let sandbox = Sandbox::new();
    sandbox.refuses("distill --resume", &["no run in runs"]);
    fs::create_dir(sandbox.at("empty")).unwrap();
    sandbox.refuses(
        "distill --resume --out empty",
        &["no run in empty", "recipe.toml"],
    );
}

#[test]
fn a_run_is_not_resumed_with_another_recipe() {
    let sandbox = &reference().sandbox;
    let resume = "distill --resume --out run";
    sandbox.refuses(
        &format!("{resume} --set train.batch=32"),
        &["`train.batch` was 16 and is now 32"],
    );
    sandbox.refuses(
        &format!("{resume} --seed 7"),
        &["`seed` was 0 and is now 7"],
    );
    sandbox.refuses(
        &format!("{resume} --epochs 9"),
        &["`teacher.epochs` was 2 and is now 9"],
    );
    sandbox.refuses(&format!("{resume} --recipe default"), &["`train.peak_lr`"]);
}

#[test]
fn a_run_is_not_resumed_with_other_images() {
    let sandbox = copy();
    classes(&sandbox.at("data"), &["forest", "water"], 3);
    sandbox.refuses(
        "distill --resume --out run --data data",
        &["synthetic", "data holds others"],
    );
}

#[test]
fn a_checkpoint_cut_short_is_named_and_changes_nothing() {
    let sandbox = copy();
    let path = sandbox.at("run/checkpoints/student_alone.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [whole.len() - 1, 5, 0] {
        fs::write(&path, &whole[..length]).unwrap();
        let size = format!("({length} bytes)");
        let named = ["student_alone.safetensors", &size, "cut short", "delete it"];
        sandbox.refuses("distill --resume --out run", &named);
    }
}

#[test]
fn a_diary_cut_short_is_named_and_changes_nothing() {
    let sandbox = copy();
    fs::write(
        sandbox.at("run/metrics.jsonl"),
        "{\"phase\":\"teacher\",\"ep",
    )
    .unwrap();
    sandbox.refuses(
        "distill --resume --out run",
        &["metrics.jsonl", "0 epochs of teacher"],
    );
}

#[test]
fn a_run_begun_inside_its_data_is_no_class_of_it_and_goes_on() {
    let sandbox = Sandbox::new();
    let data = sandbox.at("data");
    classes(&data, &["forest", "water"], 6);
    let typed = |words: &str| Outcome::of(sandbox.command(words).current_dir(&data));
    let begun = typed("distill --data . --set teacher.arch=resnet8 --epochs 1").assert_success();
    let run = fs::read_dir(data.join("runs")).unwrap().next().unwrap();
    let taught = "checkpoints/student_dkd.safetensors";
    fs::remove_file(run.unwrap().path().join(taught)).unwrap();
    for outcome in [begun, typed("distill --resume").assert_success()] {
        let said = "8 training, 2 validation and 2 test images of 2 classes";
        assert!(outcome.stderr.contains(said), "{outcome:#?}");
        assert!(outcome.trained("student by dkd"), "{outcome:#?}");
    }
}

#[test]
fn a_student_beside_another_teacher_is_named_and_changes_nothing() {
    let sandbox = copy();
    // Another network of the teacher's architecture, as training the teacher again elsewhere gives one.
    let checkpoints = sandbox.at("run/checkpoints");
    fs::copy(
        checkpoints.join("student_alone.safetensors"),
        checkpoints.join("teacher.safetensors"),
    )
    .unwrap();
    sandbox.refuses(
        "distill --resume --out run",
        &["student_dkd.safetensors", "another teacher", "delete it"],
    );
    fs::remove_file(checkpoints.join("student_dkd.safetensors")).unwrap();
    sandbox
        .ghostlight("distill --resume --out run")
        .assert_success();
}

#[test]
fn a_run_that_goes_on_elsewhere_says_so_and_remembers_it() {
    let sandbox = copy();
    let path = sandbox.at("run/platforms.json");
    let here = fs::read_to_string(&path).unwrap();
    let platforms: serde_json::Value = serde_json::from_str(&here).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(platforms[0]["version"], version);
    let width = platforms[0]["vector_width"].as_u64().unwrap();
    let elsewhere = here
        .replace(&format!("\"vector_width\": {width}"), "\"vector_width\": 3")
        .replace(
            &format!("\"version\": \"{version}\""),
            "\"version\": \"0.0.7\"",
        );
    fs::write(&path, elsewhere).unwrap();
    let resume = || {
        sandbox
            .ghostlight("distill --resume --out run")
            .assert_success()
    };
    let outcome = resume();
    for change in [
        format!("ghostlight 0.0.7 then, ghostlight {version} now"),
        format!("vectors of 3 elements then, vectors of {width} elements now"),
        "may differ".to_string(),
    ] {
        assert!(outcome.stderr.contains(&change), "{outcome:#?}");
    }
    let report = fs::read_to_string(sandbox.at("run/report.html")).unwrap();
    assert!(
        report.contains("Computed by ghostlight 0.0.7 on ")
            && report.contains(", then by ghostlight")
    );
    assert!(!resume().stderr.contains("warning"), "it is said once");
}

#[test]
fn a_finished_run_is_only_summed_up_again() {
    let sandbox = copy();
    for name in ["summary.json", "report.html"] {
        fs::remove_file(sandbox.at("run").join(name)).unwrap();
    }
    let outcome = sandbox
        .ghostlight("distill --resume --out run --json")
        .assert_success();
    assert!(
        !outcome.stderr.contains("epoch"),
        "it trained again: {outcome:#?}"
    );
    assert_same_as_reference(&sandbox.at("run"));
    let figures = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).expect("one JSON object");
        let row = network(&value, "student_dkd");
        [
            "params",
            "macs",
            "accuracy",
            "macro_precision",
            "macro_recall",
            "train_images_per_s",
        ]
        .map(|figure| row[figure].clone())
    };
    assert_eq!(
        figures(&outcome.stdout),
        figures(&reference().outcome.stdout)
    );
    let report = fs::read_to_string(sandbox.at("run/report.html")).unwrap();
    let recipe = sandbox.at("run/recipe.toml");
    let command = format!(
        "{PROGRAM} distill --recipe {} --data synthetic",
        recipe.display()
    );
    assert!(
        report.contains(&command),
        "the report does not say how to repeat the run"
    );
}
