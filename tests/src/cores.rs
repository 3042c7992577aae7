use crate::{client, download, skipped};
use ghostlight_kernels::Tensor;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

/// Set for a child process, which prints its fingerprint instead of starting a child of its own.
const CHILD: &str = "GHOSTLIGHT_FINGERPRINT_ONLY";
const MARK: &str = "fingerprint=";

/// A hash of the bits of results.
#[derive(Default)]
pub struct Fingerprint(DefaultHasher);

impl Fingerprint {
    /// Adds the elements of `tensor`.
    pub fn add(&mut self, tensor: &Tensor) {
        for value in download(tensor) {
            value.to_bits().hash(&mut self.0);
        }
    }
}

/// Runs the test `name` of this binary again, in a process that owns one core, and asserts that it comes to the same fingerprint.
///
/// The CPU runtime reads its number of cores when it starts, so it takes a process. What cannot be compared is said on standard
/// error: a device whose units are no cores, a machine of one core, or no `taskset`.
pub fn assert_same_bits_on_one_core(name: &str, fingerprint: &Fingerprint) {
    let ours = fingerprint.0.finish();
    if std::env::var_os(CHILD).is_some() {
        println!("{MARK}{ours}.");
        return;
    }
    if client().properties().hardware.num_cpu_cores.unwrap_or(1) == 1 {
        skipped(
            name,
            "this device does not spread its units over several cores",
        );
        return;
    }
    let Some(core) = first_allowed_core() else {
        skipped(
            name,
            "this system does not say which cores a process may use",
        );
        return;
    };
    let binary = std::env::current_exe().expect("a test knows its own path");
    let child = Command::new("taskset")
        .args(["-c", &core])
        .arg(binary)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output();
    let output = match child {
        Ok(output) => output,
        Err(error) => {
            skipped(name, &format!("taskset does not start: {error}"));
            return;
        }
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "on one core: {printed}{errors}");
    let theirs = printed
        .split_once(MARK)
        .and_then(|(_, rest)| rest.split_once('.'))
        .unwrap_or_else(|| panic!("no fingerprint in {printed}{errors}"));
    assert_eq!(
        theirs.0,
        ours.to_string(),
        "fingerprint on one core, and on all"
    );
}

fn first_allowed_core() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.split_once("Cpus_allowed_list:")?.1.trim_start();
    let digits = list.find(|c: char| !c.is_ascii_digit())?;
    Some(list[..digits].to_string())
}
