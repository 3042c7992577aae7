//! Teachers that are there already, and answers of theirs that are kept.

use crate::pictures::classes;
use crate::reference::{TRAININGS, checkpoints, copy, forget, reference};
use crate::sandbox::{Sandbox, TINY, files};
use ghostlight_models::run::RunDir;
use ghostlight_models::weights;
use std::fs;

#[test]
fn a_teacher_of_another_run_teaches_as_the_run_that_trained_it() {
    let sandbox = copy();
    for (given, out) in [
        ("run", "by-run"),
        ("run/checkpoints/teacher.safetensors", "by-file"),
    ] {
        let words = format!("distill {TINY} --teacher {given} --out {out}");
        let outcome = sandbox.ghostlight(&words).assert_success();
        let row = outcome
            .stdout
            .lines()
            .find(|line| line.starts_with("teacher "));
        assert!(
            row.is_some_and(|row| row.contains(" given ")),
            "{outcome:#?}"
        );
        assert!(!outcome.trained("teacher"), "{outcome:#?}");
        let (wanted, found) = (
            checkpoints(&sandbox.at("run")),
            checkpoints(&sandbox.at(out)),
        );
        for student in &TRAININGS[1..] {
            assert!(wanted[student] == found[student], "{student} {out}");
        }
        let weights = |run: &str| {
            let run = RunDir::open(&sandbox.at(run)).unwrap();
            run.load_checkpoint("teacher").unwrap().unwrap().weights
        };
        assert!(weights("run") == weights(out));
    }
    // The run holds its teacher, and keeps to it.
    forget(&sandbox.at("by-run"), "student_dkd");
    sandbox
        .ghostlight("distill --resume --out by-run")
        .assert_success();
    let (wanted, found) = (
        checkpoints(&sandbox.at("run")),
        checkpoints(&sandbox.at("by-run")),
    );
    assert!(wanted["student_dkd"] == found["student_dkd"]);
    let other = "run/checkpoints/student_alone.safetensors";
    let words = format!("distill --resume --out by-run --teacher {other}");
    sandbox.refuses(
        &words,
        &[other, "has another one already", "without --teacher"],
    );
}

#[test]
fn a_teacher_that_does_not_fit_is_named_before_a_run_is_made() {
    let sandbox = copy();
    let distill = format!("distill {TINY} --out out");
    let refused =
        |words: &str, named: &[&str]| sandbox.refuses(&format!("{distill} {words}"), named);
    refused("--teacher nowhere", &["nowhere"]);
    refused(
        "--teacher run --teacher run",
        &["--teacher is given 2 times", "has 1 [teacher]"],
    );
    refused(
        "--teacher run --set teacher.arch=resnet14",
        &["run", "resnet8", "wants resnet14", "set teacher.arch"],
    );
    let file = "run/checkpoints/teacher.safetensors";
    refused(
        &format!("--teacher {file} --set teacher.arch=resnet14"),
        &[file, "missing (30)"],
    );
    let mut tensors = weights::read(&sandbox.at(file)).unwrap();
    let spoiled = tensors
        .iter_mut()
        .find(|tensor| tensor.name == "bn1.weight");
    spoiled.unwrap().data[3] = f32::NAN;
    weights::write(&sandbox.at("spoiled.safetensors"), &tensors).unwrap();
    refused(
        "--teacher spoiled.safetensors",
        &["spoiled.safetensors", "`bn1.weight` holds NaN at 3"],
    );
    classes(&sandbox.at("data"), &["forest", "water"], 6);
    let words = "distill --data data --out out --set teacher.arch=resnet8 --teacher run";
    sandbox.refuses(words, &["orchard", "forest"]);
    forget(&sandbox.at("run"), "teacher");
    refused("--teacher run", &["no finished teacher", "--resume"]);
}

#[test]
fn a_run_with_a_cache_has_the_bytes_of_one_without_and_shares_it_with_the_next() {
    let sandbox = Sandbox::new();
    let run = |words: &str| {
        let words = format!("distill {TINY} --cache-teacher cache {words}");
        sandbox.ghostlight(&words).assert_success().stderr
    };
    // Three steps of two epochs.
    let said = run("--out run");
    assert!(said.contains("answered 0 of 6 batches"), "{said}");
    let (wanted, found) = (
        checkpoints(&reference().sandbox.at("run")),
        checkpoints(&sandbox.at("run")),
    );
    assert!(wanted == found, "the cache changes what is learnt");
    let said = run("--out other --set distill.dkd.beta=1");
    assert!(said.contains("answered 6 of 6 batches"), "{said}");
    let other = checkpoints(&sandbox.at("other"));
    assert!(other["student_dkd"] != found["student_dkd"]);
    let cached = files(&sandbox.at("cache"));
    assert_eq!(cached.values().flatten().count(), 2, "{:?}", cached.keys());
    // The same from nothing: bytes of a whole answer do not depend on who wrote them.
    fs::remove_dir_all(sandbox.at("cache")).unwrap();
    run("--out again --set distill.dkd.beta=1");
    assert!(checkpoints(&sandbox.at("again")) == other);
}
