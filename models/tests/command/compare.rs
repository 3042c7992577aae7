//! `compare`: finished runs side by side.

use crate::sandbox::Sandbox;
use serde_json::{Value, json};
use std::fs;

/// A network of a run on 10 test images of two classes.
fn network(name: &str, right: u64) -> Value {
    let student = name.starts_with("student");
    let method = name.split_once('_').map(|(_, method)| method);
    json!({
        "name": name,
        "title": match method { None => "Teacher".into(), Some(method) => format!("resnet8 by {method}") },
        "role": match method { None => "teacher", Some("alone") => "alone", Some(_) => "taught" },
        "student": student.then_some(1), "method": method, "arch": if student { "resnet8" } else { "resnet20" },
        "params": if student { 78_042 } else { 272_474 }, "macs": 50_000_000,
        "accuracy": right as f64 / 10.0, "macro_precision": right as f64 / 10.0, "macro_recall": right as f64 / 10.0,
        "chosen_epoch": 1, "epochs": 2, "last_accuracy": 0.5, "train_images_per_s": 10.0, "infer_images_per_s": 100.0,
        "latency": null, "joules_per_image": null,
        "confusion": [[right / 2, 5 - right / 2], [5 - right / 2, right / 2]],
    })
}

/// Writes a finished run, as `distill` does, whose student gets `taught` of 10 images right with a teacher and 4 without.
fn add(sandbox: &Sandbox, run: &str, seed: u64, taught: u64) {
    let folder = sandbox.at(run);
    fs::create_dir_all(&folder).expect("a folder");
    let summary = json!({
        "run": run, "seed": seed,
        "data": { "name": "tiles", "fingerprint": "ab", "classes": ["land", "water"], "train": 80, "validation": 10, "test": 10,
                  "height": 16, "width": 16 },
        "networks": [network("teacher", 8), network("student_alone", 4), network("student_dkd", taught)],
        "gains": [{ "taught": "student_dkd", "alone": "student_alone", "difference": (taught as f64 - 4.0) / 10.0, "interval": [-1.0, 1.0],
                    "p_value": 1.0, "may_be_chance": true, "only_taught": taught - 4, "only_alone": 0 }],
    });
    fs::write(folder.join("recipe.toml"), format!("seed = {seed}\n")).expect("a recipe");
    fs::write(folder.join("summary.json"), summary.to_string()).expect("a summary");
    let epoch = json!({ "phase": "student_dkd", "epoch": 1, "lr": 0.1, "train_loss": 1.0, "loss_terms": [], "train_accuracy": 0.5,
                        "validation_accuracy": 0.5, "validation_loss": 1.0, "watched": [], "train_images_per_s": 10.0 });
    fs::write(folder.join("metrics.jsonl"), format!("{epoch}\n")).expect("metrics");
}

#[test]
fn runs_by_seed_are_one_table_one_page_and_one_json_object() {
    let sandbox = Sandbox::new();
    add(&sandbox, "out/seed-0", 0, 6);
    add(&sandbox, "out/seed-1", 1, 8);
    let outcome = sandbox.ghostlight("compare out").assert_success();
    // 6 and 8 of 10; 20 and 40 points ahead, t = 12.706 with one degree of freedom.
    for said in [
        "tiles: 2 classes, 80 training, 10 validation and 10 test images of 16 x 16 pixels",
        "out: seeds 0, 1",
        "70.00 ± 14.14",
        "+30.00 (95 % -97.06 to +157.06 over seeds; may be chance)",
        "resnet20 has 3.49 times the parameters and 1.00 times the MACs of resnet8, which is 1.00 times as fast",
        "--out FILE.html",
    ] {
        assert!(
            outcome.stdout.contains(said),
            "{said} is not in {outcome:#?}"
        );
    }
    assert_eq!(outcome.stderr, "");
    assert!(!sandbox.at("page.html").exists());
    let outcome = sandbox
        .ghostlight("compare out/seed-1 out --json --out page.html")
        .assert_success();
    let printed: Value = serde_json::from_str(&outcome.stdout).expect("one JSON value");
    let experiment = &printed["experiments"][0];
    assert_eq!(experiment["runs"][1]["seed"], 1);
    let taught = &experiment["networks"][2];
    assert_eq!(taught["accuracy"]["values"], json!([0.6, 0.8]));
    assert_eq!(taught["difference"]["over"], "seeds");
    assert_eq!(printed["set_apart"], json!([]));
    let page = fs::read_to_string(sandbox.at("page.html")).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.contains("70.00 ± 14.14&nbsp;%"));
}

#[test]
fn what_cannot_be_compared_is_refused_by_name_or_set_apart() {
    let sandbox = Sandbox::new();
    add(&sandbox, "out/seed-0", 0, 6);
    fs::create_dir_all(sandbox.at("out/seed-1")).expect("a folder");
    fs::write(sandbox.at("out/seed-1/recipe.toml"), "seed = 1\n").expect("a recipe");
    fs::create_dir(sandbox.at("empty")).expect("a folder");
    sandbox.refuses("compare", &["RUN"]);
    sandbox.refuses("compare empty", &["no run in empty"]);
    sandbox.refuses("compare nowhere", &["nowhere"]);
    let way_on = "distill --out out/seed-1 --resume";
    sandbox.refuses(
        "compare out/seed-0 out/seed-1",
        &["is not finished", way_on],
    );
    sandbox.refuses("compare out --out nowhere/page.html", &["nowhere"]);
    let outcome = sandbox.ghostlight("compare out --json").assert_success();
    assert!(
        outcome.stderr.contains("not compared") && outcome.stderr.contains(way_on),
        "{outcome:#?}"
    );
    let printed: Value = serde_json::from_str(&outcome.stdout).expect("one JSON value");
    assert_eq!(printed["set_apart"][0]["run"], "out/seed-1");
}
