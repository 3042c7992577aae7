//! Disks that take nothing, or not all, and memory that is too small.
#![cfg(target_os = "linux")]

use crate::pictures::picture;
use crate::reference::{assert_same_as_reference, copy, forget, reference};
use crate::sandbox::{Outcome, PROGRAM, Sandbox, TINY, files};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn a_read_only_folder_is_named_with_the_reason() {
    let sandbox = Sandbox::new();
    let shelf = sandbox.at("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::set_permissions(&shelf, Permissions::from_mode(0o555)).unwrap();
    let protected = fs::create_dir(shelf.join("probe")).is_err();
    // Permissions do not bind the superuser; the kernel's own folder binds everybody.
    let out = if protected {
        "shelf/run"
    } else {
        "/sys/ghostlight"
    };
    let outcome = sandbox.ghostlight(&format!("distill {TINY} --out {out}"));
    outcome.assert_refused(&["cannot create", out, "os error"]);
    assert!(!sandbox.at(out).exists());
    fs::set_permissions(&shelf, Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program in `sandbox` after the shell command `before`, and the command `after` once it has ended, as the superuser of mounts
/// that end with it. `None`, said on standard error, where the system allows no such thing.
fn in_a_namespace(sandbox: &Sandbox, before: &str, words: &str, after: &str) -> Option<Outcome> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.current_dir(sandbox.at(""));
        command
    };
    let probe = unshared(before).output();
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        // Past the test harness, which swallows what a passing test prints.
        _ = writeln!(std::io::stderr(), "SKIPPED: no `{before}`: {probe:?}");
        return None;
    }
    let script = format!("{before} && \"$@\"; code=$?; {after}; exit $code");
    let mut command = unshared(&script);
    command.arg(PROGRAM).args(words.split_whitespace());
    Some(Outcome::of(&mut command))
}

/// Runs the program in a disk of `size` mounted on the folder `disk`, and adds what is left on the disk to its messages.
fn on_a_disk_of(size: &str, sandbox: &Sandbox, words: &str) -> Option<Outcome> {
    fs::create_dir(sandbox.at("disk")).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} tmpfs disk");
    in_a_namespace(sandbox, &mount, words, "ls -A disk | sed 's/^/left: /' >&2")
}

#[test]
fn a_training_that_does_not_fit_into_memory_is_refused_with_the_batch_that_does() {
    let sandbox = Sandbox::new();
    let real = fs::read_to_string("/proc/meminfo").unwrap();
    let left = |line: &str| match line.split_once(':') {
        Some(("MemAvailable", _)) => "MemAvailable: 3500 kB".to_string(),
        _ => line.to_string(),
    };
    let small: Vec<String> = real.lines().map(left).collect();
    fs::write(sandbox.at("meminfo"), small.join("\n") + "\n").unwrap();
    let before = "mount --bind meminfo /proc/meminfo";
    let words = format!("distill {TINY} --out run");
    if let Some(outcome) = in_a_namespace(&sandbox, before, &words, "true") {
        let named = ["resnet8", "16 images of 16 x 16", "0.00 GB", "train.batch="];
        outcome.assert_refused(&named);
        assert!(!sandbox.at("run").exists());
    }
}

#[test]
fn a_full_disk_is_named_before_anything_is_trained_and_nothing_is_left_on_it() {
    let sandbox = Sandbox::new();
    // One page: less than split and recipe.
    let words = format!("distill {TINY} --out disk/run");
    if let Some(outcome) = on_a_disk_of("4k", &sandbox, &words) {
        outcome.assert_refused(&["disk/run/", "No space left on device"]);
        assert!(!outcome.stderr.contains("left: "), "{outcome:#?}");
    }
}

#[test]
fn a_disk_that_fills_up_before_the_first_checkpoint_leaves_no_run() {
    let sandbox = Sandbox::new();
    let words = format!("distill {TINY} --out disk/run");
    if let Some(outcome) = on_a_disk_of("100k", &sandbox, &words) {
        outcome.assert_refused(&["checkpoints/teacher", "No space left on device"]);
        assert!(!outcome.stderr.contains("left: "), "{outcome:#?}");
    }
}

/// The checkpoints of a run but for those of whole epochs of the student that is taught, by name.
fn others(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = files(&run.join("checkpoints")).into_iter();
    let named =
        all.map(|(path, bytes)| (path.file_name().map(PathBuf::from).unwrap(), bytes.unwrap()));
    let taught =
        ["", ".best", ".last"].map(|of| PathBuf::from(format!("student_dkd{of}.safetensors")));
    named.filter(|(name, _)| !taught.contains(name)).collect()
}

#[test]
fn a_disk_that_fills_up_in_training_costs_nothing_but_time() {
    let sandbox = copy();
    forget(&sandbox.at("run"), "student_dkd");
    // Files may not grow past 256 or 512 kB, by the shell's unit: the diary fits, a checkpoint with its optimiser does not.
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$0\" distill --resume --out run";
    let mut limited = Command::new("sh");
    limited
        .args(["-c", script, PROGRAM])
        .current_dir(sandbox.at(""));
    let outcome = Outcome::of(&mut limited);
    outcome.assert_refused(&["checkpoints/student_dkd", "cannot write"]);
    assert!(outcome.stderr.contains("go on with `"), "{outcome:#?}");
    assert!(
        !sandbox.at("run/summary.json").exists(),
        "a run that has not ended says that it has"
    );
    // The best epoch so far may have fitted.
    let left = others(&sandbox.at("run"));
    assert!(
        left == others(&reference().sandbox.at("run")),
        "half a checkpoint is left"
    );
    sandbox
        .ghostlight("distill --resume --out run")
        .assert_success();
    assert_same_as_reference(&sandbox.at("run"));
}

#[test]
fn output_that_nobody_takes_ends_with_an_error_and_messages_with_none() {
    let sandbox = copy();
    picture(&sandbox.at("tile.png"), (16, 16), 5);
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    Outcome::of(sandbox.command("predict run tile.png").stdout(full()))
        .assert_refused(&["standard output", "No space left on device"]);
    Outcome::of(sandbox.command("eval run --data synthetic").stderr(full())).assert_success();
}
