//! All that a change has to pass.

use crate::{
    cargo, cuda, exit_code, failed, features, lanes, not_started, set_up, set_up_or_go_on,
};
use std::{
    io::{self, Write},
    process::{Command, ExitCode},
    thread,
    time::Instant,
};

/// Lints and documents in the release profile, whose build scripts and macros the tests use again. All tests and lanes run one build.
///
/// What looks at kernels for a card that is not there is left out, and named, where its tools cannot be had: they come from elsewhere.
pub fn run(flags: &[String], arguments: &[String]) -> ExitCode {
    let inspection = set_up_inspection(flags);
    let inspect = match &inspection {
        Ok(()) => [features::INSPECT, lanes::PTX]
            .concat()
            .iter()
            .map(|word| word.to_string())
            .collect(),
        Err(reason) => {
            eprintln!("ci: the steps gpu-shape and interpreted are SKIPPED: {reason}");
            set_up_or_go_on(flags);
            Vec::new()
        }
    };
    let fmt = cargo(&["fmt", "--all", "--check"]);
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--release"]);
    clippy
        .args(&inspect)
        .args(flags)
        .args(["--", "-D", "warnings"]);
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--release"]);
    doc.args(&inspect)
        .args(flags)
        .env("RUSTDOCFLAGS", "-D warnings");
    let one_build = [&lanes::WGPU.map(String::from), &inspect[..], flags].concat();
    let mut test = cargo(&["xtask", "test"]);
    test.args(lanes::WGPU).args(&inspect).args(arguments);
    // That wgpu is linked does not make a GPU of this machine the plain lane's device.
    let on_cpu = |command: &mut Command| {
        if flags.is_empty() {
            command.env("GHOSTLIGHT_DEVICE", "cpu");
        }
    };
    on_cpu(&mut test);
    let binaries = lanes::binaries();
    let fenced = lanes::shared_out(&binaries, &one_build, |words| {
        let mut fenced = lanes::fenced(words);
        on_cpu(&mut fenced);
        Ok(fenced)
    });
    // Asked for first, so that who has to install something learns of it now.
    let lavapipe = [&inspect[..], flags].concat();
    let lavapipe = lanes::shared_out(&binaries, &lavapipe, lanes::lavapipe);
    if let Err(reason) = &lavapipe {
        eprintln!("ci: the last step will fail: {reason}");
    }
    let gpu_shape = inspection.is_ok().then(|| lanes::gpu_shape(&one_build));
    let interpreted = inspection.is_ok().then(|| {
        let binaries = lanes::interpreted_in_ci();
        lanes::shared_out(&binaries, &one_build, lanes::interpreted)
    });
    cuda::show(&mut test);
    let alone = |command: Command| Some(Ok(vec![command]));
    let steps = [
        ("format", alone(fmt)),
        ("clippy", alone(clippy)),
        ("documentation", alone(doc)),
        ("tests", alone(test)),
        ("gpu-shape", gpu_shape.map(|step| Ok(vec![step?]))),
        ("fenced", Some(fenced)),
        ("interpreted", interpreted),
        ("lavapipe", Some(lavapipe)),
    ];
    for (name, step) in steps {
        let Some(step) = step else { continue };
        let mut commands = match step {
            Ok(commands) => commands,
            Err(reason) => return failed(&reason),
        };
        // The same cases for every change that is checked; `test` by itself draws new ones.
        for command in &mut commands {
            command.env("PROPTEST_RNG_SEED", "1");
        }
        eprintln!("ci: {name}");
        let start = Instant::now();
        if let Err(code) = together(commands) {
            eprintln!("ci: {name} failed");
            return code;
        }
        eprintln!("ci: {name} took {} s", start.elapsed().as_secs());
    }
    ExitCode::SUCCESS
}

/// Runs commands beside each other, to the end of all. What they say comes when they end, one after the other, but for a command alone.
///
/// # Errors
/// The status of the first of them that fails.
fn together(mut commands: Vec<Command>) -> Result<(), ExitCode> {
    if let [command] = &mut commands[..] {
        let status = command
            .status()
            .map_err(|error| not_started(command, &error))?;
        return if status.success() {
            Ok(())
        } else {
            Err(exit_code(status))
        };
    }
    let run = |command: &mut Command| {
        let output = command
            .output()
            .map_err(|error| not_started(command, &error))?;
        // Whole, whatever the others are saying.
        let (mut out, mut errors) = (io::stdout().lock(), io::stderr().lock());
        let told = errors
            .write_all(&output.stderr)
            .and_then(|()| out.write_all(&output.stdout));
        // A closed terminal is no failure of what ran.
        drop(told);
        if output.status.success() {
            Ok(())
        } else {
            Err(exit_code(output.status))
        }
    };
    thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter_mut()
            .map(|command| scope.spawn(|| run(command)))
            .collect();
        let ended = running
            .into_iter()
            .map(|it| it.join().expect("it does not panic"));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

/// What `bench inspect` needs beside `flags`: an LLVM for NVIDIA's cards, and their assembler.
fn set_up_inspection(flags: &[String]) -> Result<(), String> {
    let flags = [flags, &features::INSPECT.map(String::from)].concat();
    set_up(&flags).map_err(|error| error.to_string())?;
    cuda::set_up().map_err(|error| error.to_string())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_fails_beside_others_fails_all_of_them_once_they_have_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("done");
        let slow = format!("sleep 0.2; : > '{}'", file.display());
        let failed = together(vec![shell("exit 3"), shell(&slow)]);
        assert_eq!(failed, Err(ExitCode::from(3)));
        assert!(file.exists());
        assert_eq!(together(vec![shell("exit 0"), shell("exit 0")]), Ok(()));
        assert_eq!(together(vec![shell("exit 4")]), Err(ExitCode::from(4)));
    }
}
