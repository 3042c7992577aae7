//! Test lanes beside the plain one: the kernels on two GPU-shaped devices that need no GPU, and between fences.

use crate::{cargo, cuda};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What links wgpu beside the runtimes of the plain lane. Every lane of `ci` builds with it, so that all run the same binaries.
pub const WGPU: [&str; 2] = ["--features", "ghostlight-tests/wgpu"];
/// What links the device that executes PTX, in every lane of `ci` where its tools can be had.
pub const PTX: [&str; 2] = ["--features", "ghostlight-tests/ptx"];
/// Properties draw a fraction of their cases: these lanes compile most of their time, and what they are to find (a plane of 8
/// units, vectors of 4, a grid, the limits of WGSL, an access past a tensor) shows in few cases.
const DIVISOR: &str = "4";
/// A unit that is interpreted takes a hundred times as long, and its kernels are compiled twice: to PTX, and to read that.
const INTERPRETED_DIVISOR: &str = "16";
/// Binaries that run beside each other at most.
const MOST_SHARES: usize = 4;

/// A lane as commands that run beside each other, each with a share of the binaries: CubeCL compiles the kernels of a process one by one, so that a
/// single binary keeps one core busy.
///
/// # Errors
/// Those of `lane`.
pub fn shared_out(
    binaries: &[String],
    arguments: &[String],
    lane: impl Fn(&[String]) -> Result<Command, String>,
) -> Result<Vec<Command>, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A process of the kernels' tests takes a gigabyte or two.
    let shares = cores.clamp(1, MOST_SHARES).min(binaries.len());
    let share = |i: usize| {
        let own = binaries.iter().skip(i).step_by(shares);
        let own = own.flat_map(|name| ["--test".to_string(), name.clone()]);
        lane(&arguments.iter().cloned().chain(own).collect::<Vec<_>>())
    };
    (0..shares).map(share).collect()
}

/// The kernel tests on lavapipe, Mesa's Vulkan device on the CPU, through CubeCL's wgpu runtime.
///
/// # Errors
/// Why lavapipe is not there.
pub fn lavapipe(arguments: &[String]) -> Result<Command, String> {
    let driver = driver()?;
    let mut command = kernel_tests("lavapipe", &WGPU, arguments);
    command
        .env("GHOSTLIGHT_DEVICE", "lavapipe")
        // The name of today, and the one that loaders before 1.3.207 read.
        .env("VK_DRIVER_FILES", &driver)
        .env("VK_ICD_FILENAMES", &driver);
    if env::var_os("XDG_RUNTIME_DIR").is_none() {
        // wgpu asks for displays; without this every test says that it found none.
        command.env("XDG_RUNTIME_DIR", env::temp_dir());
    }
    Ok(command)
}

/// What `ci` interprets: kernels that reduce through shared memory, write over an operand or walk windows, in a minute or two; all kernels
/// are five times as much.
const INTERPRETED_IN_CI: [&str; 16] = [
    "adamw",
    "attention",
    "batch_norm",
    "cosine",
    "cross_entropy",
    "dkd",
    "dual_teacher",
    "flip_align",
    "gate",
    "global_average",
    "layer_norm",
    "partition",
    "pool",
    "resize",
    "softmax",
    "windows",
];

/// The binaries of [`interpreted`] that `ci` runs.
pub fn interpreted_in_ci() -> Vec<String> {
    INTERPRETED_IN_CI.map(String::from).to_vec()
}

/// The kernel tests on a card that is not there, whose PTX the host executes: what reads or writes where it must not, or races, fails.
///
/// # Errors
/// Why NVIDIA's library of functions is not there.
pub fn interpreted(arguments: &[String]) -> Result<Command, String> {
    cuda::set_up().map_err(|error| error.to_string())?;
    let mut command = kernel_tests("interpreted", &PTX, arguments);
    command
        .env("GHOSTLIGHT_DEVICE", "ptx")
        // It knows where every buffer ends: room behind one would hide what is wrong.
        .env_remove("GHOSTLIGHT_FENCED")
        .env("GHOSTLIGHT_CASES_DIVISOR", INTERPRETED_DIVISOR);
    cuda::show(&mut command);
    Ok(command)
}

/// The kernel tests, every buffer between two fences: what is read or written past a tensor fails.
pub fn fenced(arguments: &[String]) -> Command {
    kernel_tests("fenced", &[], arguments)
}

/// The bench's kernels on cards that are not there, held against the figures that are kept, in the build of the lanes.
///
/// # Errors
/// Why NVIDIA's assembler is not there.
pub fn gpu_shape(flags: &[String]) -> Result<Command, String> {
    cuda::set_up().map_err(|error| error.to_string())?;
    let mut command = cargo(&["bench", "--workspace"]);
    command
        .args(flags)
        .args(["--bench", "ops", "--", "inspect", "--check"]);
    cuda::show(&mut command);
    Ok(command)
}

fn kernel_tests(lane: &str, features: &[&str], arguments: &[String]) -> Command {
    // Under the same choice of packages the dependencies have the features, and are the builds, of the plain lane.
    let mut command = cargo(&["test", "--release", "--workspace"]);
    command.args(features);
    if !arguments.iter().any(|word| word.starts_with("--test")) {
        for binary in binaries() {
            command.args(["--test", &binary]);
        }
    }
    command
        .args(arguments)
        .env("GHOSTLIGHT_LANE", lane)
        // Units that idle past the end of a grid are a GPU's own way to go astray.
        .env("GHOSTLIGHT_FENCED", "1")
        .env("GHOSTLIGHT_CASES_DIVISOR", DIVISOR);
    command
}

/// The names of the kernels' test binaries that a lane runs. Planted bugs turn the same tests red on any of them: the plain one plants them.
pub fn binaries() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests");
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() || path.extension().is_some_and(|it| it == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .filter(|name| name != "planted")
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
    fn a_lane_hands_its_arguments_on() {
        let command = kernel_tests("fenced", &WGPU, &["--test".into(), "gemm".into()]);
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        assert_eq!(
            words.join(" "),
            "test --release --workspace --features ghostlight-tests/wgpu --test gemm"
        );
        let raised = |entry: (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            entry == ("GHOSTLIGHT_FENCED".as_ref(), Some("1".as_ref()))
        };
        assert!(command.get_envs().any(raised));
    }

    #[test]
    fn the_shares_of_a_lane_are_all_of_it_and_each_binary_once() {
        let names = binaries();
        let lane = |words: &[String]| Ok(fenced(words));
        let flags = ["--features".to_string(), "a/b".to_string()];
        let commands = shared_out(&names, &flags, lane).expect("a lane");
        let mut found = Vec::new();
        for command in &commands {
            let words: Vec<_> = command
                .get_args()
                .map(|it| it.to_string_lossy().into_owned())
                .collect();
            assert!(words.windows(2).any(|pair| *pair == flags), "{words:?}");
            let named = words
                .iter()
                .zip(&words[1..])
                .filter(|(flag, _)| *flag == "--test");
            found.extend(named.map(|(_, name)| name.clone()));
        }
        found.sort();
        assert_eq!(found, names);
        assert!(commands.len() <= MOST_SHARES);
    }

    #[test]
    fn a_lane_names_every_binary_of_the_kernels_tests() {
        let names = binaries();
        for name in ["batch_norm", "fences", "gemm"]
            .iter()
            .chain(&INTERPRETED_IN_CI)
        {
            assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
        }
    }
}
