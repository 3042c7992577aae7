//! Folders that a run cannot be written to.

use crate::desk::{Desk, Outcome, TINY};
use std::fs;
#[cfg(target_os = "linux")]
use std::{fs::Permissions, io::Write, os::unix::fs::PermissionsExt, process::Command};

#[test]
fn a_folder_that_holds_something_is_not_written_to() {
    let desk = Desk::new();
    fs::create_dir(desk.at("thesis")).unwrap();
    fs::write(desk.at("thesis/chapter.tex"), "").unwrap();
    desk.refuses(
        &format!("distill {TINY} --out thesis"),
        &["thesis is not empty", "--out", "--resume"],
    );
    desk.refuses(
        &format!("distill {TINY} --out thesis/chapter.tex"),
        &["thesis/chapter.tex"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_is_named_with_the_reason() {
    let desk = Desk::new();
    let shelf = desk.at("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::set_permissions(&shelf, Permissions::from_mode(0o555)).unwrap();
    let protected = fs::create_dir(shelf.join("probe")).is_err();
    // Permissions do not bind the superuser; the kernel's own folder binds everybody.
    let out = if protected { "shelf/run" } else { "/sys/ghostlight" };
    let outcome = desk.ghostlight(&format!("distill {TINY} --out {out}"));
    outcome.assert_refused(&["cannot create", out, "os error"]);
    assert!(!desk.at(out).exists());
    fs::set_permissions(&shelf, Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program in a disk of `size` mounted on the folder `disk`, in a mount namespace that ends with it, and adds what is
/// left on the disk to its messages. `None`, said on standard error, where the system allows no such namespace.
#[cfg(target_os = "linux")]
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
        _ = writeln!(std::io::stderr(), "SKIPPED: no disk of {size} to fill up: {probe:?}");
        return None;
    }
    let script = format!("{mount} && \"$@\"; code=$?; ls -A disk | sed 's/^/left: /' >&2; exit $code");
    let mut command = unshared(&script);
    command.arg(crate::desk::PROGRAM).args(words.split_whitespace());
    Some(Outcome::of(&mut command))
}

#[cfg(target_os = "linux")]
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

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_before_the_first_checkpoint_leaves_no_run() {
    let desk = Desk::new();
    let words = format!("distill {TINY} --out disk/run");
    if let Some(outcome) = on_a_disk_of("100k", &desk, &words) {
        outcome.assert_refused(&["checkpoints/teacher.safetensors", "No space left on device"]);
        assert!(!outcome.stderr.contains("left: "), "{outcome:#?}");
    }
}
