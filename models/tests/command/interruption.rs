//! Runs that end before their time, and what becomes of them.
#![cfg(unix)]

use crate::desk::{Desk, TINY};
use crate::reference::{assert_same_as_reference, epochs};
use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A run in progress, in the folder `run`.
struct Running<'a> {
    desk: &'a Desk,
    child: Child,
}

impl<'a> Running<'a> {
    fn start(desk: &'a Desk, words: &str) -> Self {
        let messages = File::create(desk.at("messages")).unwrap();
        let output = File::create(desk.at("output")).unwrap();
        let mut command = desk.command(&format!("distill {words} --out run"));
        let child = command.stdout(output).stderr(messages).spawn().unwrap();
        Self { desk, child }
    }

    /// Waits until the training has begun and `count` epochs of it are over, then a little longer, into the next one.
    fn wait_for_epochs(&mut self, count: usize) {
        let begun = Instant::now();
        let run = self.desk.at("run");
        while !run.join("metrics.jsonl").exists() || epochs(&run).len() < count {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "it ended before epoch {count}: {}",
                self.messages()
            );
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{}",
                self.messages()
            );
            sleep(Duration::from_millis(2));
        }
        sleep(Duration::from_millis(20));
    }

    fn messages(&self) -> String {
        fs::read_to_string(self.desk.at("messages")).unwrap()
    }

    /// Sends the signal and waits for the end, which must not have come before.
    fn end_by(mut self, signal: &str) -> (ExitStatus, String) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "{}",
            self.messages()
        );
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        (self.child.wait().unwrap(), self.messages())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_bytes_of_one_that_was_not() {
    let desk = Desk::new();
    let run = desk.at("run");
    let mut words = TINY.to_string();
    // Before anything is saved, then in the second epoch of the teacher, of the student alone and of the one distilled.
    for epoch in [0, 1, 3, 5] {
        let mut running = Running::start(&desk, &words);
        running.wait_for_epochs(epoch);
        running.end_by("-KILL");
        assert!(
            !run.join("summary.json").exists(),
            "it was over before it was killed"
        );
        words = "--resume".to_string();
    }
    desk.ghostlight("distill --resume --out run")
        .assert_success();
    assert_same_as_reference(&run);
}

#[test]
fn a_run_stopped_by_ctrl_c_saves_its_step_and_goes_on_from_it() {
    let desk = Desk::new();
    let run = desk.at("run");
    let mut words = TINY.to_string();
    for epoch in [1, 5] {
        let mut running = Running::start(&desk, &words);
        running.wait_for_epochs(epoch);
        let (status, messages) = running.end_by("-INT");
        assert_eq!(status.code(), Some(130), "{messages}");
        let way_on = "go on with `ghostlight distill --out run --resume`";
        assert!(messages.contains(way_on), "{messages}");
        assert_eq!(fs::read(desk.at("output")).unwrap(), b"");
        assert!(run.join("checkpoints/teacher.safetensors").is_file());
        assert!(!run.join("summary.json").exists());
        words = "--resume".to_string();
    }
    desk.ghostlight("distill --resume --out run")
        .assert_success();
    assert_same_as_reference(&run);
}

#[test]
fn a_run_that_another_process_is_writing_is_left_alone() {
    let desk = Desk::new();
    let mut running = Running::start(&desk, TINY);
    running.wait_for_epochs(1);
    let second = desk.ghostlight("distill --resume --out run");
    // The first may have ended while the second was starting: then there was nothing to refuse.
    if running.child.try_wait().unwrap().is_none() {
        second.assert_refused(&["run/metrics.jsonl", "another process"]);
    }
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{}", running.messages());
    assert_same_as_reference(&desk.at("run"));
}
