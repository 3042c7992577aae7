//! Runs that end before their time, and what becomes of them.
#![cfg(unix)]

use crate::reference::{assert_same_as_reference, epochs};
use crate::sandbox::{Outcome, PROGRAM, Sandbox, TINY, files};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A run in progress.
struct Running<'a> {
    sandbox: &'a Sandbox,
    run: PathBuf,
    child: Child,
}

impl<'a> Running<'a> {
    /// In the folder `run`.
    fn start(sandbox: &'a Sandbox, words: &str) -> Self {
        let command = sandbox.command(&format!("distill {words} --out run"));
        Self::spawn(sandbox, "run", command)
    }

    /// By `command`, which makes its run in the folder `run`.
    fn spawn(sandbox: &'a Sandbox, run: &str, mut command: Command) -> Self {
        let messages = File::create(sandbox.at("messages")).unwrap();
        let output = File::create(sandbox.at("output")).unwrap();
        let child = command.stdout(output).stderr(messages).spawn().unwrap();
        let run = sandbox.at(run);
        Self {
            sandbox,
            run,
            child,
        }
    }

    /// Waits until the training has begun and `count` epochs of it are over, then a little longer, into the next one.
    fn wait_for_epochs(&mut self, count: usize) {
        let begun = Instant::now();
        let run = &self.run;
        while !run.join("metrics.jsonl").exists() || epochs(run).len() < count {
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
        fs::read_to_string(self.sandbox.at("messages")).unwrap()
    }

    /// Sends the signal to the run, which must not have ended before.
    fn send(&mut self, signal: &str) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "{}",
            self.messages()
        );
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Sends the signal and waits for the end.
    fn end_by(mut self, signal: &str) -> (ExitStatus, String) {
        self.send(signal);
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
    let sandbox = Sandbox::new();
    let run = sandbox.at("run");
    let mut words = TINY.to_string();
    // Before anything is saved, then in the second epoch of the teacher, of the student alone and of the one distilled.
    for epoch in [0, 1, 3, 5] {
        let mut running = Running::start(&sandbox, &words);
        running.wait_for_epochs(epoch);
        running.end_by("-KILL");
        assert!(
            !run.join("summary.json").exists(),
            "it was over before it was killed"
        );
        words = "--resume".to_string();
    }
    sandbox
        .ghostlight("distill --resume --out run")
        .assert_success();
    assert_same_as_reference(&run);
}

/// Two teachers, AdamW, and a student with dropout.
const TWO_TEACHERS: &str = r#"
[data]
synthetic_per_class = 8
synthetic_size = 32

[train]
batch = 16
optimiser = "adamw"
peak_lr = 1e-3

[[teacher]]
arch = "resnet8"
epochs = 1

[[teacher]]
arch = "resnet14"
epochs = 1

[student]
arch = "mobilenet_v2"
epochs = 2

[distill]
name = "dual"
dual = { temperature = 5.0 }
"#;

#[test]
fn three_seeds_of_two_teachers_killed_in_the_second_end_with_the_bytes_of_runs_that_were_not() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.at("two.toml"), TWO_TEACHERS).unwrap();
    let words = "distill --data synthetic --recipe two.toml";
    let begin = sandbox.command(&format!("{words} --seeds 3 --out series"));
    let mut running = Running::spawn(&sandbox, "series/seed-1", begin);
    // In the second epoch of the student that both teach.
    running.wait_for_epochs(5);
    running.end_by("-KILL");
    let run = |seed: usize| sandbox.at(format!("series/seed-{seed}"));
    assert!(run(0).join("summary.json").is_file() && !run(1).join("summary.json").exists());
    sandbox.refuses("distill --resume --out series --seeds 2", &["--seeds"]);
    let outcome = sandbox
        .ghostlight("distill --resume --out series --json")
        .assert_success();
    let printed: serde_json::Value =
        serde_json::from_str(&outcome.stdout).expect("one JSON object");
    let seeds = printed["runs"].as_array().expect("a list").iter();
    assert_eq!(
        seeds.map(|run| run["seed"].as_u64()).collect::<Vec<_>>(),
        [0, 1, 2].map(Some)
    );
    sandbox
        .ghostlight(&format!("{words} --seed 1 --out alone"))
        .assert_success();
    let weights = |run: PathBuf| {
        let saved = files(&run.join("checkpoints"));
        assert!(saved.len() >= 4, "{:?}", saved.keys());
        saved.into_values().collect::<Vec<_>>()
    };
    assert!(weights(run(1)) == weights(sandbox.at("alone")));
    assert!(weights(run(1)) != weights(run(2)));
}

#[test]
fn a_run_stopped_by_ctrl_c_saves_its_step_and_goes_on_from_it() {
    let sandbox = Sandbox::new();
    let run = sandbox.at("run");
    let mut words = TINY.to_string();
    for epoch in [1, 5] {
        let mut running = Running::start(&sandbox, &words);
        running.wait_for_epochs(epoch);
        let (status, messages) = running.end_by("-INT");
        assert_eq!(status.code(), Some(130), "{messages}");
        assert!(messages.contains("go on with `"), "{messages}");
        assert_eq!(fs::read(sandbox.at("output")).unwrap(), b"");
        assert!(run.join("checkpoints/teacher.safetensors").is_file());
        assert!(!run.join("summary.json").exists());
        words = "--resume".to_string();
    }
    sandbox
        .ghostlight("distill --resume --out run")
        .assert_success();
    assert_same_as_reference(&run);
}

#[test]
fn a_ctrl_c_while_images_are_drawn_ends_at_once_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    // Minutes of drawing.
    let words = "--data synthetic --set data.synthetic_per_class=2000 --set data.image_size=128";
    let mut running = Running::start(&sandbox, words);
    sleep(Duration::from_secs(1));
    let sent = Instant::now();
    running.send("-INT");
    let status = running.child.wait().unwrap();
    let messages = running.messages();
    assert_eq!(status.code(), Some(130), "{messages}");
    assert!(messages.contains("nothing was written"), "{messages}");
    assert!(sent.elapsed() < Duration::from_secs(10), "{messages}");
    assert!(!sandbox.at("run").exists());
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let sandbox = Sandbox::new();
    // What `nohup` does for a terminal that closes, and a script's shell for the Ctrl-C of what it runs beside itself.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\"", PROGRAM])
        .args(format!("distill {TINY} --out run").split_whitespace())
        .current_dir(sandbox.at(""));
    let mut running = Running::spawn(&sandbox, "run", command);
    running.wait_for_epochs(1);
    running.send("-HUP");
    running.send("-INT");
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{status}: {}", running.messages());
    assert_same_as_reference(&sandbox.at("run"));
}

#[test]
fn a_terminal_that_closes_stops_the_run_as_ctrl_c_does() {
    let sandbox = Sandbox::new();
    let mut running = Running::start(&sandbox, TINY);
    running.wait_for_epochs(1);
    let (status, messages) = running.end_by("-HUP");
    assert_eq!(status.code(), Some(130), "{messages}");
    assert!(messages.contains("go on with `"), "{messages}");
}

#[test]
fn the_line_that_is_printed_goes_on_with_the_run_wherever_it_is_typed() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.at("built here")).unwrap();
    symlink(PROGRAM, sandbox.at("built here/ghostlight")).unwrap();
    // As cargo starts it: by a path that holds in this folder alone.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec './built here/ghostlight' \"$@\"", "sh"])
        .args(format!("distill {TINY} --out").split_whitespace())
        .arg("it's a run")
        .current_dir(sandbox.at(""));
    let mut running = Running::spawn(&sandbox, "it's a run", command);
    running.wait_for_epochs(3);
    let (status, messages) = running.end_by("-INT");
    assert_eq!(status.code(), Some(130), "{messages}");
    let (_, line) = messages.split_once("go on with `").expect(&messages);
    let (line, _) = line.split_once('`').expect(&messages);
    let mut typed = Command::new("sh");
    typed.args(["-c", line]).current_dir("/");
    Outcome::of(&mut typed).assert_success();
    assert_same_as_reference(&sandbox.at("it's a run"));
}

#[test]
fn runs_begun_in_the_same_second_have_a_folder_each() {
    let sandbox = Sandbox::new();
    let begun = Instant::now();
    let mut all: Vec<Running> = (0..3)
        .map(|_| {
            Running::spawn(
                &sandbox,
                "runs",
                sandbox.command(&format!("distill {TINY}")),
            )
        })
        .collect();
    let made = || {
        let runs = fs::read_dir(sandbox.at("runs"))
            .into_iter()
            .flatten()
            .flatten();
        runs.filter(|run| run.path().join("recipe.toml").is_file())
            .count()
    };
    while made() < all.len() {
        for running in &mut all {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", running.messages());
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "{} runs",
            made()
        );
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_a_run_killed_at_its_start_left_behind_is_in_nobodys_way() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.at("run/checkpoints")).unwrap();
    for (name, text) in [
        ("split.json", "{\"source\": \"synth"),
        (".split.json.part", "{"),
        (".recipe.toml.part", "see"),
    ] {
        fs::write(sandbox.at("run").join(name), text).unwrap();
    }
    sandbox.refuses(
        "distill --resume --out run",
        &["no run in run", "without --resume"],
    );
    sandbox
        .ghostlight(&format!("distill {TINY} --out run"))
        .assert_success();
    assert_same_as_reference(&sandbox.at("run"));
}

#[test]
fn a_run_that_another_process_is_writing_is_left_alone() {
    let sandbox = Sandbox::new();
    let mut running = Running::start(&sandbox, TINY);
    running.wait_for_epochs(1);
    let second = sandbox.ghostlight("distill --resume --out run");
    // The first may have ended while the second was starting: then there was nothing to refuse.
    if running.child.try_wait().unwrap().is_none() {
        second.assert_refused(&["run is being written", "another process"]);
    }
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{}", running.messages());
    assert_same_as_reference(&sandbox.at("run"));
}
