//! Disks that take nothing, or not all.
#![cfg(target_os = "linux")]

use crate::desk::{Desk, Outcome, PROGRAM, TINY, files};
use crate::pictures::picture;
use crate::reference::{assert_same_as_reference, checkpoints, copy, reference};
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn a_read_only_folder_is_named_with_the_reason() {
    let desk = Desk::new();
    let shelf = desk.at("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::set_permissions(&shelf, Permissions::from_mode(0o555)).unwrap();
    let protected = fs::create_dir(shelf.join("probe")).is_err();
    // Permissions do not bind the superuser; the kernel's own folder binds everybody.
    let out = if protected {
        "shelf/run"
    } else {
        "/sys/ghostlight"
    };
    let outcome = desk.ghostlight(&format!("distill {TINY} --out {out}"));
    outcome.assert_refused(&["cannot create", out, "os error"]);
    assert!(!desk.at(out).exists());
    fs::set_permissions(&shelf, Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program in a disk of `size` mounted on the folder `disk`, in a mount namespace that ends with it, and adds what is
/// left on the disk to its messages. `None`, said on standard error, where the system allows no such namespace.
fn on_a_disk_of(size: &str, desk: &Desk, words: &str) -> Option<Outcome> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.current_dir(desk.at(""));
        command
    };
    let mount = format!("mount -t tmpfs -o size={size} tmpfs disk");
    fs::create_dir(desk.at("disk")).unwrap();
    let probe = unshared(&mount).output();
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        // Past the test harness, which swallows what a passing test prints.
        _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no disk of {size} to fill up: {probe:?}"
        );
        return None;
    }
    let script =
        format!("{mount} && \"$@\"; code=$?; ls -A disk | sed 's/^/left: /' >&2; exit $code");
    let mut command = unshared(&script);
    command.arg(PROGRAM).args(words.split_whitespace());
    Some(Outcome::of(&mut command))
}

#[test]
fn a_full_disk_is_named_before_anything_is_trained_and_nothing_is_left_on_it() {
    let desk = Desk::new();
    // One page: the recipe fits, the split does not.
    let words = format!("distill {TINY} --out disk/run");
    if let Some(outcome) = on_a_disk_of("4k", &desk, &words) {
        outcome.assert_refused(&["disk/run/split.json", "No space left on device"]);
        assert!(!outcome.stderr.contains("left: "), "{outcome:#?}");
    }
}

#[test]
fn a_disk_that_fills_up_before_the_first_checkpoint_leaves_no_run() {
    let desk = Desk::new();
    let words = format!("distill {TINY} --out disk/run");
    if let Some(outcome) = on_a_disk_of("100k", &desk, &words) {
        outcome.assert_refused(&["checkpoints/teacher.safetensors", "No space left on device"]);
        assert!(!outcome.stderr.contains("left: "), "{outcome:#?}");
    }
}

#[test]
fn a_disk_that_fills_up_in_training_costs_nothing_but_time() {
    let desk = copy();
    fs::remove_file(desk.at("run/checkpoints/student_distilled.safetensors")).unwrap();
    let kept = checkpoints(&reference().desk.at("run"));
    // Files may not grow past 256 or 512 kB, by the shell's unit: the diary fits, a checkpoint with its optimiser does not.
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$0\" distill --resume --out run";
    let mut limited = Command::new("sh");
    limited
        .args(["-c", script, PROGRAM])
        .current_dir(desk.at(""));
    Outcome::of(&mut limited).assert_refused(&["student_distilled.safetensors", "cannot write"]);
    let left: Vec<_> = files(&desk.at("run/checkpoints"))
        .into_values()
        .flatten()
        .collect();
    assert!(
        left == [&kept["student_alone"][..], &kept["teacher"]],
        "half a checkpoint is left"
    );
    desk.ghostlight("distill --resume --out run")
        .assert_success();
    assert_same_as_reference(&desk.at("run"));
}

#[test]
fn output_that_nobody_takes_ends_with_an_error_and_messages_with_none() {
    let desk = copy();
    picture(&desk.at("tile.png"), (16, 16), 5);
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    Outcome::of(desk.command("predict run tile.png").stdout(full()))
        .assert_refused(&["standard output", "No space left on device"]);
    Outcome::of(desk.command("eval run --data synthetic").stderr(full())).assert_success();
}
