//! What a run says and leaves behind.

use crate::reference::{TRAININGS, checkpoints, network, reference};
use crate::sandbox::{Sandbox, TINY};
use serde_json::Value;
use std::fs;

#[test]
fn a_run_prints_one_json_object_with_a_row_for_each_network() {
    let outcome = &reference().outcome;
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let printed: Value = serde_json::from_str(&outcome.stdout).expect("one JSON value");
    let object = printed.as_object().expect("an object");
    assert_eq!(object.len(), 5);
    assert_eq!(
        (&object["run"], &object["seed"]),
        (&"run".into(), &0.into())
    );
    for (count, wanted) in [
        ("train", 50),
        ("validation", 10),
        ("test", 20),
        ("height", 16),
        ("width", 16),
    ] {
        assert_eq!(object["data"][count], wanted, "{count}");
    }
    let [gain] = &object["gains"].as_array().expect("a list")[..] else {
        panic!("one student is taught: {object:?}");
    };
    assert_eq!(
        (&gain["taught"], &gain["alone"]),
        (&"student_dkd".into(), &"student_alone".into())
    );
    let figure = |name: &str| gain[name].as_f64().expect(name);
    let right = |phase: &str| network(&printed, phase)["accuracy"].as_f64().expect(phase) * 20.0;
    let more = right("student_dkd") - right("student_alone");
    assert!((figure("only_taught") - figure("only_alone") - more).abs() < 1e-9);
    assert!((figure("difference") - more / 20.0).abs() < 1e-9);
    let end = |end: usize| gain["interval"][end].as_f64().expect("an interval");
    assert!(end(0) < figure("difference") && figure("difference") < end(1));
    assert_eq!(gain["may_be_chance"], figure("p_value") >= 0.05);
    assert_eq!(
        object["networks"].as_array().map(Vec::len),
        Some(TRAININGS.len())
    );
    for (phase, role) in TRAININGS.into_iter().zip(["teacher", "alone", "taught"]) {
        let row = network(&printed, phase).as_object().expect("a row");
        assert_eq!(
            (&row["arch"], &row["role"]),
            (&"resnet8".into(), &role.into())
        );
        let chosen = row["chosen_epoch"].as_u64().expect("an epoch");
        assert!((1..=2).contains(&chosen) && row["epochs"] == 2, "{row:?}");
        assert_eq!(row["params"], 78_042);
        assert!(row["macs"].as_u64() > Some(1_000_000), "{row:?}");
        for share in [
            "accuracy",
            "last_accuracy",
            "macro_precision",
            "macro_recall",
        ] {
            assert!((0.0..=1.0).contains(&row[share].as_f64().expect(share)));
        }
        for speed in ["train_images_per_s", "infer_images_per_s"] {
            assert!(row[speed].as_f64().expect(speed) > 0.0);
        }
    }
    let summary = fs::read(reference().sandbox.at("run/summary.json")).expect("a summary");
    assert_eq!(serde_json::from_slice::<Value>(&summary).unwrap(), printed);
}

#[test]
fn a_run_leaves_everything_needed_to_repeat_resume_and_read_it() {
    let run = reference().sandbox.at("run");
    for name in [
        "recipe.toml",
        "split.json",
        "platforms.json",
        "metrics.jsonl",
        "summary.json",
        "report.html",
    ] {
        assert!(run.join(name).is_file(), "{name} is missing");
    }
    checkpoints(&run);
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(recipe.contains("batch = 16"), "{recipe}");
}

#[test]
fn the_report_shows_the_run_without_a_network() {
    let report = fs::read_to_string(reference().sandbox.at("run/report.html")).unwrap();
    let text = report.to_lowercase();
    for attribute in ["src=", "href=", "url(", "@import", "action=", "srcset="] {
        for (at, _) in text.match_indices(attribute) {
            let value = text[at + attribute.len()..].trim_start_matches(['"', '\'', ' ']);
            let inside = value.starts_with("data:") || value.starts_with('#');
            assert!(inside, "{attribute} {:.80}", value);
        }
    }
    assert!(!text.contains("<script") && !text.contains("<link"));
    assert!(text.contains("<svg") && text.contains("data:image/png;base64,"));
    assert!(text.contains("student alone") && text.contains("ghostlight distill --data synthetic"));
}

#[test]
fn equal_seeds_give_equal_bytes_and_other_seeds_others() {
    let sandbox = Sandbox::new();
    for (seed, out) in [(0, "same"), (1, "other")] {
        sandbox
            .ghostlight(&format!("distill {TINY} --seed {seed} --out {out}"))
            .assert_success();
    }
    let wanted = checkpoints(&reference().sandbox.at("run"));
    let (same, other) = (
        checkpoints(&sandbox.at("same")),
        checkpoints(&sandbox.at("other")),
    );
    for phase in TRAININGS {
        assert!(
            wanted[phase] == same[phase],
            "{phase} differs under one seed"
        );
        assert!(wanted[phase] != other[phase], "{phase} ignores the seed");
    }
    // The teacher's help is the only difference between the students.
    assert!(same["student_alone"] != same["student_dkd"]);
}

#[test]
fn a_run_without_json_ends_with_a_table_in_a_folder_named_by_date() {
    let sandbox = Sandbox::new();
    let outcome = sandbox
        .ghostlight(&format!(
            "distill {TINY} --set teacher.epochs=1 --set student.epochs=1"
        ))
        .assert_success();
    for title in ["teacher ", "student alone ", "student by dkd "] {
        let row = outcome.stdout.lines().find(|line| line.starts_with(title));
        assert!(row.is_some_and(|row| row.contains("78042")), "{outcome:#?}");
    }
    assert!(outcome.stdout.contains("% interval"), "{outcome:#?}");
    let run = fs::read_dir(sandbox.at("runs")).unwrap().next().unwrap();
    let name = format!("runs/{}", run.unwrap().file_name().display());
    assert!(outcome.stdout.contains(&name), "{outcome:#?}");
    sandbox
        .ghostlight("distill --resume --json")
        .assert_success();
}

#[test]
fn a_training_that_diverges_ends_with_advice_and_without_a_result() {
    // Long enough that the loss overflows within the first epoch, however its sums are rounded.
    let wild = "--set train.peak_lr=10 --set train.schedule=constant --set train.warmup=0 \
        --set train.weight_decay=1 --set train.batch=2 --set data.synthetic_per_class=30";
    Sandbox::new().refuses(
        &format!("distill {TINY} {wild} --out out"),
        &["train.peak_lr (now 10)", "lower"],
    );
}
