//! Set-up with tiny wheels in place of LLVM's, in folders of its own.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use tempfile::TempDir;

use super::*;

const CUDA: Needs = Needs {
    nvptx: true,
    lld: false,
};
const CPU: Needs = Needs {
    nvptx: false,
    lld: false,
};

/// Answers as the real one: with the extra targets only once their marker is there.
const FAKE_LLVM_CONFIG: &str = r#"#!/bin/sh
[ "$*" = "--link-static --libs" ] || exit 1
echo "-lLLVMCore"
[ ! -e "$(dirname "$0")/../share/mlc-llvm-static/extra.json" ] || echo "-lLLVMNVPTXCodeGen"
"#;

const MAKE_WHEEL: &str = r#"
import hashlib, sys, zipfile
path, root, *files = sys.argv[1:]
with zipfile.ZipFile(path, "w") as archive:
    for name, text in zip(files[::2], files[1::2]):
        archive.writestr(root + name, text)
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"#;

/// The folder of a wheel that holds LLVM.
const LLVM: &str = "mlc_llvm_static/static/";

/// A package index with one small wheel for each package, and a data folder.
struct World {
    root: TempDir,
    wheels: Wheels,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut wheels = Wheels::of("linux", "x86_64").unwrap();
        let base = [
            (LLVM_CONFIG, FAKE_LLVM_CONFIG),
            (BASE_MARKER, "{}"),
            ("lib/libLLVMCore.a", "core"),
        ];
        let extra = [(EXTRA_MARKER, "{}"), ("lib/libLLVMNVPTXCodeGen.a", "nvptx")];
        wheels.base.sha256 = make_wheel(&root.path().join(wheels.base.package), LLVM, &base);
        wheels.extra.sha256 = make_wheel(&root.path().join(wheels.extra.package), LLVM, &extra);
        Self { root, wheels }
    }

    fn bundle(&self) -> Bundle {
        Bundle::under(&self.root.path().join("data"))
    }

    fn fetch(&self, wheel: &Wheel, into: &Path) -> Result<PathBuf, Error> {
        let file = into.join("fetched.whl");
        fs::copy(self.root.path().join(wheel.package), &file).unwrap();
        Ok(file)
    }

    fn ensure(&self, needs: Needs) -> Result<(), Error> {
        self.bundle()
            .ensure(needs, Ok(self.wheels.clone()), |wheel, into| {
                self.fetch(wheel, into)
            })
    }

    fn ensure_offline(&self, needs: Needs) -> Result<(), Error> {
        self.bundle()
            .ensure(needs, Ok(self.wheels.clone()), |wheel, _| {
                Err(Error::Download {
                    requirement: wheel.requirement(),
                })
            })
    }

    /// What lies beside the bundle, the lock aside.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path().join("data/tracel"));
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        names.sort();
        names
    }
}

/// Makes a wheel whose files lie in the folder `root`; returns its SHA-256.
pub fn make_wheel(path: &Path, root: &str, files: &[(&str, &str)]) -> String {
    let output = Command::new("python3")
        .args(["-c", MAKE_WHEEL])
        .arg(path)
        .arg(root)
        .args(files.iter().flat_map(|(name, text)| [name, text]))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

#[test]
fn every_platform_with_an_llvm_config_has_two_pinned_wheels() {
    for (os, arch) in [
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("macos", "aarch64"),
    ] {
        let wheels = Wheels::of(os, arch).unwrap();
        for wheel in [&wheels.base, &wheels.extra] {
            assert!(wheel.requirement().ends_with("==23.1.1.post0"));
            assert_eq!(wheel.sha256.len(), 64, "{os} {arch}");
        }
        assert_ne!(wheels.base, wheels.extra);
    }
}

#[test]
fn a_platform_without_a_wheel_is_named() {
    for (os, arch) in [
        ("windows", "x86_64"),
        ("macos", "x86_64"),
        ("linux", "riscv64"),
    ] {
        let message = Wheels::of(os, arch).unwrap_err().to_string();
        assert!(message.contains(os) && message.contains(arch), "{message}");
    }
}

#[test]
fn the_data_folder_is_the_one_the_build_script_asks_for() {
    let home = || Some(PathBuf::from("/home/ada"));
    let xdg =
        |value: &'static str| move |name: &str| (name == "XDG_DATA_HOME").then(|| value.into());
    let dir = |os, home, value| data_local_dir(os, home, xdg(value));
    assert_eq!(dir("linux", home(), "/data"), Some("/data".into()));
    assert_eq!(
        dir("linux", home(), "relative"),
        Some("/home/ada/.local/share".into())
    );
    assert_eq!(
        dir("linux", home(), ""),
        Some("/home/ada/.local/share".into())
    );
    assert_eq!(
        dir("macos", home(), "/data"),
        Some("/home/ada/Library/Application Support".into())
    );
    assert_eq!(dir("linux", None, ""), None);
    assert_eq!(dir("linux", Some("".into()), ""), None);
}

#[test]
fn a_bundle_is_installed_once_and_then_taken_as_it_is() {
    let world = World::new();
    world.ensure(CPU).unwrap();
    let folder = world.bundle().folder();
    assert_eq!(fs::read(folder.join(MARKER)).unwrap(), b"");
    assert_eq!(fs::read(folder.join("lib/libLLVMCore.a")).unwrap(), b"core");
    assert_eq!(world.beside(), [FOLDER]);
    world.ensure_offline(CPU).unwrap();
}

#[test]
fn a_bundle_without_its_marker_is_replaced() {
    let world = World::new();
    let folder = world.bundle().folder();
    fs::create_dir_all(folder.join("lib")).unwrap();
    fs::write(folder.join("lib/half"), "half").unwrap();
    world.ensure(CPU).unwrap();
    assert!(folder.join(MARKER).is_file());
    assert!(!folder.join("lib/half").exists());
    assert_eq!(world.beside(), [FOLDER]);
}

#[test]
fn a_bundle_whose_llvm_config_fails_is_replaced() {
    let world = World::new();
    world.ensure(CPU).unwrap();
    let llvm_config = world.bundle().folder().join(LLVM_CONFIG);
    fs::write(&llvm_config, "#!/bin/sh\nexit 1\n").unwrap();
    world.ensure(CPU).unwrap();
    assert_eq!(fs::read_to_string(llvm_config).unwrap(), FAKE_LLVM_CONFIG);
}

#[test]
fn a_wheel_with_another_hash_installs_nothing() {
    let mut world = World::new();
    let real = world.wheels.base.sha256.clone();
    world.wheels.base.sha256 = "0".repeat(64);
    let message = world.ensure(CPU).unwrap_err().to_string();
    assert!(
        message.contains(&real) && message.contains(&"0".repeat(64)),
        "{message}"
    );
    assert!(world.beside().is_empty(), "{:?}", world.beside());
}

#[test]
fn a_wheel_that_is_no_zip_installs_nothing() {
    let mut world = World::new();
    let file = world.root.path().join(world.wheels.base.package);
    fs::write(&file, "<html>a captive portal</html>").unwrap();
    assert!(matches!(world.ensure(CPU), Err(Error::WrongHash { .. })));
    // The same with the hash as expected: what was pinned may be broken too.
    let hashed = Command::new("python3")
        .args(["-c", "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"])
        .arg(&file)
        .output()
        .unwrap();
    world.wheels.base.sha256 = String::from_utf8(hashed.stdout).unwrap().trim().into();
    assert!(matches!(world.ensure(CPU), Err(Error::Unpack { .. })));
    assert!(world.beside().is_empty());
}

#[test]
fn a_failed_download_leaves_what_was_there() {
    let world = World::new();
    assert!(matches!(
        world.ensure_offline(CPU),
        Err(Error::Download { .. })
    ));
    assert!(world.beside().is_empty());
    world.ensure(CPU).unwrap();
    assert!(matches!(
        world.ensure_offline(CUDA),
        Err(Error::Download { .. })
    ));
    world.ensure_offline(CPU).unwrap();
    assert_eq!(world.beside(), [FOLDER]);
}

#[test]
fn leftovers_of_an_interrupted_run_are_removed() {
    let world = World::new();
    let leftover = world.root.path().join("data/tracel").join(partial("1"));
    fs::create_dir_all(leftover.join("wheel")).unwrap();
    let other = world.root.path().join("data/tracel/tracel-llvm-22.1.4-7");
    fs::create_dir_all(&other).unwrap();
    world.ensure(CPU).unwrap();
    assert_eq!(world.beside(), ["tracel-llvm-22.1.4-7", FOLDER]);
    // An orphan may have gone on writing while the run above removed its folder.
    fs::create_dir_all(&leftover).unwrap();
    world.ensure_offline(CPU).unwrap();
    assert_eq!(world.beside(), ["tracel-llvm-22.1.4-7", FOLDER]);
}

#[test]
fn set_ups_at_the_same_time_fetch_once() {
    let world = World::new();
    let (bundle, wheels) = (world.bundle(), world.wheels.clone());
    let base = world.root.path().join(wheels.base.package);
    let fetched = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let fetch = |_: &Wheel, into: &Path| {
                    fetched.fetch_add(1, Ordering::Relaxed);
                    let file = into.join("fetched.whl");
                    fs::copy(&base, &file).unwrap();
                    Ok(file)
                };
                bundle.ensure(CPU, Ok(wheels.clone()), fetch).unwrap();
            });
        }
    });
    assert_eq!(fetched.load(Ordering::Relaxed), 1);
    assert_eq!(world.beside(), [FOLDER]);
}

#[test]
fn the_extra_targets_join_a_bundle_without_fetching_it_again() {
    let world = World::new();
    world.ensure(CPU).unwrap();
    let fetched = Cell::new(Vec::new());
    let fetch = |wheel: &Wheel, into: &Path| {
        fetched.set([fetched.take(), vec![wheel.package]].concat());
        world.fetch(wheel, into)
    };
    world
        .bundle()
        .ensure(CUDA, Ok(world.wheels.clone()), fetch)
        .unwrap();
    assert_eq!(fetched.take(), ["mlc-llvm-static-extra-targets"]);
    world.ensure_offline(CUDA).unwrap();
    assert_eq!(world.beside(), [FOLDER]);
}

#[test]
fn both_wheels_are_fetched_where_there_is_nothing_and_cuda_is_asked_for() {
    let world = World::new();
    world.ensure(CUDA).unwrap();
    world.ensure_offline(CUDA).unwrap();
}

#[test]
fn an_interrupted_merge_is_done_again() {
    let world = World::new();
    world.ensure(CUDA).unwrap();
    let folder = world.bundle().folder();
    fs::remove_file(folder.join(EXTRA_MARKER)).unwrap();
    fs::remove_file(folder.join("lib/libLLVMNVPTXCodeGen.a")).unwrap();
    world.ensure(CUDA).unwrap();
    assert!(folder.join("lib/libLLVMNVPTXCodeGen.a").is_file());
}

#[test]
fn an_llvm_of_another_origin_is_not_mixed_with_the_extra_targets() {
    let world = World::new();
    world.ensure(CPU).unwrap();
    fs::remove_file(world.bundle().folder().join(BASE_MARKER)).unwrap();
    world.ensure_offline(CPU).unwrap();
    assert!(matches!(world.ensure(CUDA), Err(Error::NoNvptx { .. })));
}

#[test]
fn hip_is_refused_where_lld_is_missing_and_taken_where_it_is() {
    let hip = Needs {
        nvptx: false,
        lld: true,
    };
    let world = World::new();
    assert!(matches!(
        world.ensure(hip),
        Err(Error::NoLld {
            installed: false,
            ..
        })
    ));
    world.ensure(CPU).unwrap();
    assert!(matches!(
        world.ensure(hip),
        Err(Error::NoLld {
            installed: true,
            ..
        })
    ));
    fs::write(world.bundle().folder().join(LLD), "lld").unwrap();
    world.ensure_offline(hip).unwrap();
}
