//! All that a change has to pass.

use crate::{
    cargo, cuda, exit_code, failed, features, lanes, not_started, set_up, set_up_or_go_on,
};
use std::{process::ExitCode, time::Instant};

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
    let mut fenced = lanes::fenced(&one_build);
    if flags.is_empty() {
        // That wgpu is linked does not make a GPU of this machine the plain lane's device.
        test.env("GHOSTLIGHT_DEVICE", "cpu");
        fenced.env("GHOSTLIGHT_DEVICE", "cpu");
    }
    // Asked for first, so that who has to install something learns of it now.
    let lavapipe = lanes::lavapipe(&[&inspect[..], flags].concat());
    if let Err(reason) = &lavapipe {
        eprintln!("ci: the last step will fail: {reason}");
    }
    let gpu_shape = inspection.is_ok().then(|| lanes::gpu_shape(&one_build));
    let interpreted = inspection
        .is_ok()
        .then(|| lanes::interpreted_in_ci(&one_build));
    cuda::show(&mut test);
    let steps = [
        ("format", Some(Ok(fmt))),
        ("clippy", Some(Ok(clippy))),
        ("documentation", Some(Ok(doc))),
        ("tests", Some(Ok(test))),
        ("gpu-shape", gpu_shape),
        ("fenced", Some(Ok(fenced))),
        ("interpreted", interpreted),
        ("lavapipe", Some(lavapipe)),
    ];
    for (name, step) in steps {
        let Some(step) = step else { continue };
        let mut step = match step {
            Ok(step) => step,
            Err(reason) => return failed(&reason),
        };
        // The same cases for every change that is checked; `test` by itself draws new ones.
        step.env("PROPTEST_RNG_SEED", "1");
        eprintln!("ci: {name}");
        let start = Instant::now();
        match step.status() {
            Ok(status) if status.success() => {
                eprintln!("ci: {name} took {} s", start.elapsed().as_secs());
            }
            Ok(status) => {
                eprintln!("ci: {name} failed");
                return exit_code(status);
            }
            Err(error) => return not_started(&step, &error),
        }
    }
    ExitCode::SUCCESS
}

/// What `bench inspect` needs beside `flags`: an LLVM for NVIDIA's cards, and their assembler.
fn set_up_inspection(flags: &[String]) -> Result<(), String> {
    let flags = [flags, &features::INSPECT.map(String::from)].concat();
    set_up(&flags).map_err(|error| error.to_string())?;
    cuda::set_up().map_err(|error| error.to_string())
}
