//! Test lanes beside the plain one: the kernels on a GPU-shaped device that needs no GPU, and between fences.

use crate::cargo;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The package whose tests launch kernels, and nothing but kernels.
const TESTS: &str = "ghostlight-tests";
/// Properties draw a fraction of their cases: lavapipe compiles and runs on the same cores, and what it is to find (a plane of 8
/// units, vectors of 4, a grid, the limits of WGSL) shows in few of them.
const DIVISOR: &str = "4";

/// The kernel tests on lavapipe, Mesa's Vulkan device on the CPU, through CubeCL's wgpu runtime.
///
/// # Errors
/// Why lavapipe is not there.
pub fn lavapipe(arguments: &[String]) -> Result<Command, String> {
    let driver = driver()?;
    let mut command = cargo(&["test", "--release", "-p", TESTS]);
    // A folder of its own: the test of planted bugs starts the binaries that it finds beside it.
    if let Some(target) = target() {
        command.arg("--target-dir").arg(target.join("lavapipe"));
    }
    command
        .args(["--no-default-features", "--features", "wgpu"])
        .args(arguments)
        // The name of today, and the one that loaders before 1.3.207 read.
        .env("VK_DRIVER_FILES", &driver)
        .env("VK_ICD_FILENAMES", &driver)
        // CubeCL takes a software device for none unless it is named.
        .env("CUBECL_WGPU_DEFAULT_DEVICE", "Cpu")
        .env("GHOSTLIGHT_LANE", "lavapipe")
        .env("GHOSTLIGHT_DEVICE", "llvmpipe")
        // Units that idle past the end of a grid are a GPU's own way to go astray.
        .env("GHOSTLIGHT_FENCED", "1")
        .env("GHOSTLIGHT_CASES_DIVISOR", DIVISOR);
    Ok(command)
}

/// The kernel tests on the CPU runtime, every buffer between two fences: what is read or written past a tensor fails.
pub fn fenced(arguments: &[String]) -> Command {
    // Under the same choice of packages the dependencies have the features, and are the builds, of the plain lane.
    let mut command = cargo(&["test", "--release", "--workspace"]);
    if !arguments.iter().any(|word| word.starts_with("--test")) {
        // Planted bugs turn the same tests red between fences.
        for binary in binaries().iter().filter(|name| *name != "planted") {
            command.args(["--test", binary]);
        }
    }
    command
        .args(arguments)
        .env("GHOSTLIGHT_LANE", "fenced")
        .env("GHOSTLIGHT_FENCED", "1")
        .env("GHOSTLIGHT_CASES_DIVISOR", DIVISOR);
    command
}

/// Cargo's folder of builds, which holds this program's folder.
fn target() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    program.ancestors().nth(2).map(Path::to_path_buf)
}

/// The names of the kernels' test binaries.
fn binaries() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests");
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() || path.extension().is_some_and(|it| it == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}

/// The file by which Vulkan finds lavapipe; installs Debian's package where it is missing and this user may.
fn driver() -> Result<PathBuf, String> {
    let folders = ["/usr/share", "/usr/local/share", "/etc"]
        .map(|folder| Path::new(folder).join("vulkan/icd.d"));
    if let Some(driver) = find(&folders) {
        return Ok(driver);
    }
    install()?;
    find(&folders).ok_or_else(|| "mesa-vulkan-drivers brought no lvp_icd.*.json".into())
}

fn find(folders: &[PathBuf]) -> Option<PathBuf> {
    folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("lvp_icd") && name.ends_with(".json")
        })
}

fn install() -> Result<(), String> {
    const BY_HAND: &str =
        "install it by hand (Debian, Ubuntu: `apt-get install mesa-vulkan-drivers`)";
    if !is_root() {
        return Err(format!(
            "lavapipe is not there and this user is not root: {BY_HAND}"
        ));
    }
    eprintln!("set-up: installing mesa-vulkan-drivers for lavapipe");
    for words in [
        &["update"][..],
        &[
            "install",
            "-y",
            "--no-install-recommends",
            "mesa-vulkan-drivers",
        ],
    ] {
        let status = Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let words = words.join(" ");
                return Err(format!(
                    "lavapipe is not there and `apt-get {words}` ended with {status}: {BY_HAND}"
                ));
            }
            Err(_) => {
                return Err(format!("lavapipe is not there, nor is apt-get: {BY_HAND}"));
            }
        }
    }
    Ok(())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lavapipe_is_found_by_the_file_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder of the test's own");
        let folders = [folder.path().join("missing"), folder.path().to_path_buf()];
        for name in ["intel_icd.x86_64.json", "lvp_icd.x86_64.json.orig"] {
            fs::write(folder.path().join(name), "{}").expect("it is writable");
        }
        assert_eq!(find(&folders), None);
        let driver = folder.path().join("lvp_icd.aarch64.json");
        fs::write(&driver, "{}").expect("it is writable");
        assert_eq!(find(&folders), Some(driver));
    }

    #[test]
    fn the_fenced_lane_hands_its_arguments_on() {
        let command = fenced(&["--test".into(), "gemm".into()]);
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        assert_eq!(words.join(" "), "test --release --workspace --test gemm");
        let raised = |entry: (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            entry == ("GHOSTLIGHT_FENCED".as_ref(), Some("1".as_ref()))
        };
        assert!(command.get_envs().any(raised));
    }

    #[test]
    fn the_fenced_lane_names_every_binary_of_the_kernels_tests() {
        let names = binaries();
        for name in ["batch_norm", "fences", "gemm"] {
            assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
        }
    }
}
