//! Whichever package a command chooses, the dependencies are compiled once: CubeCL and what lies under it take minutes, and cargo
//! compiles them again for every other set of features that a choice of packages adds up to.

use crate::{features::INSPECT, lanes::WGPU};
use serde_json::Value;
use std::{collections::BTreeSet, env, process::Command};

/// The everyday commands beside the suite's own `cargo test --release --workspace`.
const COMMANDS: [&[&str]; 7] = [
    &["build", "--release", "--bin", "ghostlight"],
    &[
        "build",
        "--release",
        "-p",
        "ghostlight-models",
        "--bin",
        "ghostlight",
    ],
    &["test", "--release", "-p", "ghostlight-kernels"],
    &["test", "--release", "-p", "ghostlight-models"],
    &["test", "--release", "-p", "ghostlight-tests"],
    &[
        "build",
        "--release",
        "-p",
        "ghostlight-tests",
        "--bin",
        "soak",
    ],
    &["bench"],
];

/// What `command` would compile of other people's crates, each with all that decides whether a build can be used again: features,
/// profile and, all the way down, dependencies.
fn dependencies(command: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(command)
        .args(["-Z", "unstable-options", "--unit-graph"])
        // Cargo draws its graph for nightly alone; this asks a stable one for it. Nothing is compiled.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    let graph: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let units = graph["units"].as_array().expect("a list of units");
    let mut keys = vec![None; units.len()];
    (0..units.len())
        .map(|unit| (key(units, unit, &mut keys), &units[unit]["pkg_id"]))
        .filter(|(_, package)| !package.as_str().is_some_and(|id| id.starts_with("path+")))
        .map(|(key, _)| key)
        .collect()
}

/// A unit's name with a digest of all that it is compiled from.
fn key(units: &[Value], unit: usize, keys: &mut [Option<String>]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};

    if let Some(key) = &keys[unit] {
        return key.clone();
    }
    let it = &units[unit];
    let mut profile = it["profile"].clone();
    // `bench` is `release` under another name.
    profile["name"] = Value::Null;
    let mut below: Vec<String> = it["dependencies"]
        .as_array()
        .expect("a list of dependencies")
        .iter()
        .filter_map(|dependency| dependency["index"].as_u64())
        .map(|index| key(units, index as usize, keys))
        .collect();
    below.sort();
    let mut digest = DefaultHasher::new();
    (below, profile.to_string(), it["target"].to_string()).hash(&mut digest);
    let (package, mode, features) = (&it["pkg_id"], &it["mode"], &it["features"]);
    let key = format!(
        "{package} {mode}, features {features}, {:x}",
        digest.finish()
    );
    keys[unit] = Some(key.clone());
    key
}

/// Nothing that `command` needs is missing from what was `compiled`.
fn compiles_nothing_again(command: &[&str], compiled: &BTreeSet<String>) {
    let again: Vec<String> = dependencies(command)
        .difference(compiled)
        .cloned()
        .collect();
    assert!(
        again.is_empty(),
        "cargo {} compiles again, for a set of features of its own (see kernels/Cargo.toml):\n{}",
        command.join(" "),
        again.join("\n")
    );
}

#[test]
fn every_command_uses_the_dependencies_that_the_suite_compiled() {
    let compiled = dependencies(&["test", "--release", "--workspace"]);
    assert!(
        compiled.iter().any(|unit| unit.contains("cubecl-cpu")),
        "CubeCL is a dependency"
    );
    for command in COMMANDS {
        compiles_nothing_again(command, &compiled);
    }
}

#[test]
fn kernels_are_looked_at_in_the_build_of_the_lanes() {
    let features = [&WGPU[..], &INSPECT].concat();
    let with = |words: &[&'static str]| [words, &features].concat();
    let compiled = dependencies(&with(&["test", "--release", "--workspace"]));
    assert!(
        compiled.iter().any(|unit| unit.contains("nvptx")),
        "LLVM's NVPTX target is a dependency"
    );
    compiles_nothing_again(
        &with(&["bench", "--workspace", "--bench", "ops"]),
        &compiled,
    );
}
