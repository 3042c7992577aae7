//! The fences around buffers: a launch that reads or writes past its tensors is found out, and one that does not passes.
//!
//! Fences and planted bugs are chosen for a process when it starts: every case is a run of [`the_launch_of_a_child`] in a child.

use ghostlight_kernels::pointwise::{add, fill};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{client, download, reals, upload};
use std::process::Command;

const CHILD: &str = "GHOSTLIGHT_FENCES_CHILD";

/// Adds and fills, when a test of this file asks for it.
#[test]
fn the_launch_of_a_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let (a, b) = (reals(1, 45), reals(2, 45));
    let of = |values: &[f64]| upload(values, &[9, 5], DType::F32);
    let sums = download(&add(&of(&a), &of(&b)).expect("the shapes agree"));
    let spoiled = sums.iter().position(|sum| sum.is_nan());
    assert_eq!(spoiled, None, "the first sum that is no number");
    for (i, sum) in sums.iter().enumerate() {
        assert!((sum - a[i] - b[i]).abs() < 1e-6, "sum {i}: {sum}");
    }
    let filled = Tensor::empty(&client(), &[9, 5], DType::F32);
    fill(&filled, 1.0);
    assert_eq!(download(&filled), [1.0; 45]);
}

/// Whether the child passes, and what it says; `bug` is planted in it, else what is planted here.
fn child(fenced: bool, bug: Option<&str>) -> (bool, String) {
    let binary = std::env::current_exe().expect("a test knows its own path");
    let mut command = Command::new(binary);
    command
        .args(["--exact", "the_launch_of_a_child", "--nocapture"])
        .env(CHILD, "1");
    if let Some(bug) = bug {
        command.env("GHOSTLIGHT_PLANTED", bug);
    }
    if fenced {
        command.env("GHOSTLIGHT_FENCED", "1");
    } else {
        command.env_remove("GHOSTLIGHT_FENCED");
    }
    let output = command.output().expect("the binary that runs starts again");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn launches_within_their_tensors_pass_with_and_without_fences() {
    for fenced in [true, false] {
        let (passed, said) = child(fenced, None);
        assert!(passed, "fenced: {fenced}: {said}");
    }
}

#[test]
fn a_write_past_the_end_breaks_the_fence() {
    let (passed, said) = child(true, Some("fill_past_the_end"));
    assert!(!passed, "{said}");
    assert!(
        said.contains("bytes behind a tensor of 180 bytes"),
        "{said}"
    );
}

#[test]
fn a_read_past_the_end_brings_in_what_is_no_number() {
    let (passed, said) = child(true, Some("add_past_the_end"));
    assert!(!passed, "{said}");
    assert!(said.contains("left: Some(44)"), "{said}");
}
