//! The recipes that come with the program, on as few and as small images as they run on.

use crate::reference::network;
use crate::sandbox::Sandbox;
use serde_json::Value;

/// A few drawn images of `side` pixels, one epoch of a step or two.
fn runs_to_its_end(recipe: &str, side: usize, networks: &[&str]) {
    let words = format!(
        "distill --data synthetic --recipe {recipe} --epochs 1 --json --set data.synthetic_per_class=5 \
         --set data.image_size={side} --set train.batch=16 --set data.train_per_class=0"
    );
    let outcome = Sandbox::new().ghostlight(&words).assert_success();
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    assert_eq!(
        summary["networks"].as_array().map(Vec::len),
        Some(networks.len()),
        "{summary}"
    );
    for name in networks {
        assert_eq!(network(&summary, name)["epochs"], 1, "{name}");
    }
}

#[test]
fn ghost_dkd_runs_to_its_end() {
    runs_to_its_end(
        "ghost-dkd-quick",
        32,
        &["teacher", "student_alone", "student_dkd", "student_kd"],
    );
}

#[test]
fn flip_align_runs_to_its_end() {
    let names = [
        "teacher",
        "student_alone",
        "student_hard",
        "student_soft-min",
        "student_attention",
        "student_identity",
        "student_fixed",
        "student_random",
    ];
    runs_to_its_end("flip-align-quick", 16, &names);
}

#[test]
fn dual_teacher_runs_to_its_end() {
    let names = [
        "teacher1",
        "teacher2",
        "student1_alone",
        "student1_dual",
        "student1_dual-2",
        "student2_alone",
        "student2_dual",
        "student2_dual-2",
    ];
    runs_to_its_end("dual-teacher-quick", 64, &names);
}

#[test]
fn kl_cosine_runs_to_its_end() {
    runs_to_its_end(
        "kl-cosine-quick",
        32,
        &[
            "teacher",
            "student_alone",
            "student_kd+cosine",
            "student_kd",
            "student_cosine",
        ],
    );
}

#[test]
fn related_work_runs_to_its_end() {
    let names = [
        "teacher1",
        "teacher2",
        "teacher3",
        "student_alone",
        "student_kd",
        "student_together",
        "student_in-turn",
        "student_self",
    ];
    runs_to_its_end("related-quick", 16, &names);
}
