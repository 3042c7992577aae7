//! Puts NVIDIA's assembler and disassembler, and the library of mathematics that kernels for its cards link, where `bench inspect` finds
//! them: no CUDA toolkit is installed, and no card needed.
//!
//! They are release 12.9, the last that assembles for a V100, and near what CubeCL takes a driver for (12.8). The folder is laid out as a
//! toolkit's, so that `CUDA_PATH` may name it.

use crate::llvm::{
    self, Error, Wheel, failed,
    wheel::{self, make_runnable},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

const FOLDER: &str = "cuda-12.9.86";

/// What is kept of a wheel: the file in it, and its place in the folder.
const OF_NVCC: [(&str, &str); 2] = [
    ("nvidia/cuda_nvcc/bin/ptxas", "bin/ptxas"),
    (
        "nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc",
        "nvvm/libdevice/libdevice.10.bc",
    ),
];
const OF_NVDISASM: [(&str, &str); 1] = [("nvidia/cu13/bin/nvdisasm", "bin/nvdisasm")];

/// The wheels of one platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    nvcc: Wheel,
    nvdisasm: Wheel,
}

impl Tools {
    /// Those for `os` and `arch`, named as `std::env::consts` names them.
    pub fn of(os: &str, arch: &str) -> Result<Self, Error> {
        let (nvcc, nvdisasm) = match (os, arch) {
            ("linux", "x86_64") => (
                "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
                "d3fdbdd49fa53e2e4aacd3db8259d052bd2b049ececdcb69e92e083c6728e7ca",
            ),
            ("linux", "aarch64") => (
                "44e1eca4d08926193a558d2434b1bf83d57b4d5743e0c431c0c83d51da1df62b",
                "a3a8248074edb9fba63b74c38a5416b712a91ab09e70b8ab37186c3d293fc605",
            ),
            _ => {
                return Err(Error::NoCudaTools {
                    os: os.into(),
                    arch: arch.into(),
                });
            }
        };
        Ok(Self {
            nvcc: Wheel {
                package: "nvidia-cuda-nvcc-cu12",
                version: "12.9.86",
                sha256: nvcc.into(),
                brings: "ptxas and libdevice",
            },
            // Release 12 has none of its own; this one reads what that ptxas writes.
            nvdisasm: Wheel {
                package: "nvidia-cuda-nvdisasm",
                version: "13.5.37",
                sha256: nvdisasm.into(),
                brings: "the disassembler of machine code",
            },
        })
    }
}

/// The folder below the user's data folder `data`.
fn folder(data: &Path) -> PathBuf {
    data.join("ghostlight").join(FOLDER)
}

/// Shows `command` the tools as its `CUDA_PATH`, where they are there and the user shows it no others.
pub fn show(command: &mut Command) {
    if env::var_os("CUDA_PATH").is_some() {
        return;
    }
    if let Ok(data) = llvm::data_of_this_user()
        && folder(&data).is_dir()
    {
        command.env("CUDA_PATH", folder(&data));
    }
}

/// Makes sure that the tools are there, unless `CUDA_PATH` names others.
pub fn set_up() -> Result<(), Error> {
    if env::var_os("CUDA_PATH").is_some() {
        return Ok(());
    }
    ensure(
        &llvm::data_of_this_user()?,
        Tools::of(env::consts::OS, env::consts::ARCH),
        wheel::fetch,
    )
}

/// Makes sure that the tools are in `data`; `fetch` gets a wheel and a folder and puts the wheel's file there.
fn ensure(
    data: &Path,
    tools: Result<Tools, Error>,
    fetch: impl Fn(&Wheel, &Path) -> Result<PathBuf, Error>,
) -> Result<(), Error> {
    let folder = folder(data);
    if folder.is_dir() {
        return Ok(());
    }
    let tools = tools?;
    let parent = data.join("ghostlight");
    let _lock = llvm::lock(&parent)?;
    if folder.is_dir() {
        return Ok(());
    }
    let staging = Staging::in_folder(&parent)?;
    for (wheel, files) in [(&tools.nvcc, &OF_NVCC[..]), (&tools.nvdisasm, &OF_NVDISASM)] {
        let place = staging.0.join(wheel.package);
        fs::create_dir_all(&place).map_err(failed("create", &place))?;
        let file = fetch(wheel, &place)?;
        wheel::unpack(wheel, &file, &place)?;
        for (inside, outside) in files {
            let (from, to) = (place.join(inside), staging.0.join(FOLDER).join(outside));
            if !from.is_file() {
                return Err(Error::Missing {
                    requirement: wheel.requirement(),
                    file: outside,
                });
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(failed("create", parent))?;
            }
            llvm::rename(&from, &to)?;
        }
    }
    make_runnable(&staging.0.join(FOLDER).join("bin"))?;
    llvm::rename(&staging.0.join(FOLDER), &folder)?;
    eprintln!("set-up: put ptxas and nvdisasm into {}", folder.display());
    Ok(())
}

/// A temporary folder beside the tools, removed when dropped; what a killed run left there is removed first, under the lock.
struct Staging(PathBuf);

impl Staging {
    fn in_folder(parent: &Path) -> Result<Self, Error> {
        let partial = format!("{FOLDER}.partial-");
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&partial) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = parent.join(format!("{partial}{}", process::id()));
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llvm::tests::make_wheel;

    /// Small wheels in the place of those of NVIDIA, and what fetches them.
    fn wheels(root: &Path) -> Tools {
        let mut tools = Tools::of("linux", "x86_64").expect("there are wheels");
        let text = |files: &[(&'static str, &str)]| {
            files
                .iter()
                .map(|(name, _)| (*name, "tool"))
                .collect::<Vec<_>>()
        };
        tools.nvcc.sha256 = make_wheel(&root.join("nvidia-cuda-nvcc-cu12"), "", &text(&OF_NVCC));
        tools.nvdisasm.sha256 =
            make_wheel(&root.join("nvidia-cuda-nvdisasm"), "", &text(&OF_NVDISASM));
        tools
    }

    fn copy(root: &Path) -> impl Fn(&Wheel, &Path) -> Result<PathBuf, Error> {
        move |wheel, into| {
            let file = into.join("fetched.whl");
            fs::copy(root.join(wheel.package), &file).expect("it is there");
            Ok(file)
        }
    }

    #[test]
    fn the_tools_are_put_in_place_once_and_laid_out_as_a_toolkit() {
        let root = tempfile::tempdir().expect("a folder of the test's own");
        let (data, tools) = (root.path().join("data"), wheels(root.path()));
        ensure(&data, Ok(tools.clone()), copy(root.path())).expect("it has all");
        let folder = folder(&data);
        for file in [
            "bin/ptxas",
            "bin/nvdisasm",
            "nvvm/libdevice/libdevice.10.bc",
        ] {
            assert!(folder.join(file).is_file(), "{file}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.join("bin/ptxas"))
                .expect("it is there")
                .permissions();
            assert_eq!(mode.mode() & 0o111, 0o111);
        }
        ensure(&data, Ok(tools), |_, _| unreachable!("they are there")).expect("they are there");
    }

    #[test]
    fn a_wheel_of_another_hash_or_without_the_tool_puts_nothing_in_place() {
        let root = tempfile::tempdir().expect("a folder of the test's own");
        let data = root.path().join("data");
        let mut tools = wheels(root.path());
        tools.nvdisasm.sha256 = make_wheel(
            &root.path().join("nvidia-cuda-nvdisasm"),
            "",
            &[("other", "tool")],
        );
        let error =
            ensure(&data, Ok(tools.clone()), copy(root.path())).expect_err("it lacks the tool");
        assert!(error.to_string().contains("bin/nvdisasm"), "{error}");
        tools.nvcc.sha256 = "0".repeat(64);
        let error = ensure(&data, Ok(tools), copy(root.path())).expect_err("it is another wheel");
        assert!(matches!(error, Error::WrongHash { .. }), "{error}");
        assert!(!folder(&data).exists());
        let left = fs::read_dir(data.join("ghostlight"))
            .expect("the lock is there")
            .flatten();
        assert_eq!(left.filter(|entry| entry.path().is_dir()).count(), 0);
    }

    #[test]
    fn a_platform_without_a_wheel_is_told_to_bring_a_toolkit() {
        let error = Tools::of("windows", "x86_64").expect_err("there is none");
        assert!(error.to_string().contains("CUDA_PATH"), "{error}");
    }
}
