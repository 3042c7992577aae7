//! The wheels that hold LLVM as static libraries, and how one is fetched and unpacked.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::error::Error;

const VERSION: &str = "23.1.1.post0";
const BASE: &str = "mlc-llvm-static";
const EXTRA: &str = "mlc-llvm-static-extra-targets";
const UNPACK: &str = include_str!("unpack.py");

/// The folder inside a wheel that is laid out as an LLVM installation.
pub const ROOT: &str = "mlc_llvm_static/static";

/// One published wheel, pinned by its SHA-256.
#[derive(Clone, Debug, PartialEq)]
pub struct Wheel {
    pub package: &'static str,
    pub version: &'static str,
    pub sha256: String,
    /// What it brings, for whoever waits for it.
    pub brings: &'static str,
}

impl Wheel {
    /// What pip is asked for.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// The wheels of one platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Wheels {
    /// LLVM with the machine's own target.
    pub base: Wheel,
    /// The other targets, NVPTX among them; shares no file with `base`.
    pub extra: Wheel,
}

impl Wheels {
    /// The wheels for `os` and `arch`, named as `std::env::consts` names them.
    ///
    /// The Windows wheels have no `llvm-config.exe`, which is what the build scripts call there, and Intel Macs have no
    /// wheel.
    pub fn of(os: &str, arch: &str) -> Result<Self, Error> {
        let (base, extra) = match (os, arch) {
            ("linux", "x86_64") => (
                "dcfec888abfaa418be77d41af585805f31463584cf9c90582992c00f392c1ac5",
                "c36e834d9a4e9cf9759f27fece65711ece7a2fc2b5a96dbb15d66f5e9e787929",
            ),
            ("linux", "aarch64") => (
                "3d4b1b30cea531ffa5956fa14ff4ffb0b1ed61284bf31eac3ebb752fb308b71d",
                "b1ddc694cf75bb1502b64c1898b15915362450453b637534886519e20e3d5522",
            ),
            ("macos", "aarch64") => (
                "2e32382ecef182b040d217d663d10ecb6f994b50b7066381063811e766354102",
                "c2cdcd6bd7919d8befc1d124ca8a96fd06d85f09e4487ad58211c9d756b63174",
            ),
            _ => {
                return Err(Error::UnsupportedPlatform {
                    os: os.into(),
                    arch: arch.into(),
                });
            }
        };
        Ok(Self {
            base: Wheel {
                package: BASE,
                version: VERSION,
                sha256: base.into(),
                brings: "LLVM, which the runtimes link",
            },
            extra: Wheel {
                package: EXTRA,
                version: VERSION,
                sha256: extra.into(),
                brings: "LLVM, which the runtimes link",
            },
        })
    }
}

/// Fetches `wheel` into the folder `into` with pip and returns the file.
pub fn fetch(wheel: &Wheel, into: &Path) -> Result<PathBuf, Error> {
    let python = python_with_pip(into)?;
    let requirement = wheel.requirement();
    let brings = wheel.brings;
    eprintln!("set-up: fetching {requirement} with pip ({brings}; once)");
    let status = Command::new(&python)
        .args(["-m", "pip", "--disable-pip-version-check", "download"])
        // Nothing of the wheel is imported, and its llvm-config is tried before it is used: any Python that runs it will do.
        .args([
            "--no-deps",
            "--only-binary=:all:",
            "--ignore-requires-python",
            "--dest",
        ])
        .arg(into)
        .arg(&requirement)
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        // Standard output belongs to the command that set-up prepares.
        .stdout(io::stderr())
        .status()
        .map_err(|source| Error::NoPython { source })?;
    let file = status.success().then(|| wheel_in(into)).flatten();
    file.ok_or(Error::Download { requirement })
}

/// Unpacks `file` into the folder `into` if it is `wheel`, and nothing of it otherwise.
pub fn unpack(wheel: &Wheel, file: &Path, into: &Path) -> Result<(), Error> {
    let output = Command::new("python3")
        .args(["-I", "-c", UNPACK])
        .arg(file)
        .arg(&wheel.sha256)
        // It writes relative paths, so that the orphan of a killed set-up fails once its folder has been removed.
        .current_dir(into)
        .output()
        .map_err(|source| Error::NoPython { source })?;
    match output.status.code() {
        Some(0) => make_runnable(&into.join(ROOT).join("bin")),
        Some(3) => Err(Error::WrongHash {
            requirement: wheel.requirement(),
            expected: wheel.sha256.clone(),
            found: String::from_utf8_lossy(&output.stdout).trim().into(),
        }),
        _ => Err(Error::Unpack {
            wheel: file.into(),
            reason: complaint(&output),
        }),
    }
}

/// A Python whose pip works: the machine's, or that of a virtual environment made in `scratch` where the machine's own
/// comes without pip.
fn python_with_pip(scratch: &Path) -> Result<PathBuf, Error> {
    let runs = |python: &OsStr, arguments: &[&OsStr]| {
        Command::new(python)
            .args(arguments)
            .output()
            .map(|output| output.status.success())
            .map_err(|source| Error::NoPython { source })
    };
    let python = OsStr::new("python3");
    if runs(
        python,
        &["-m".as_ref(), "pip".as_ref(), "--version".as_ref()],
    )? {
        return Ok(python.into());
    }
    let venv = scratch.join("venv");
    if runs(python, &["-m".as_ref(), "venv".as_ref(), venv.as_os_str()])? {
        return Ok(venv.join("bin").join("python3"));
    }
    Err(Error::NoPip)
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    files.find(|path| path.extension() == Some(OsStr::new("whl")))
}

/// What a failed command has to say: its last line, which is where Python and llvm-config put the reason.
pub fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.trim().lines().last().map(String::from);
    last.unwrap_or_else(|| format!("it ended with {}", output.status))
}

/// Zip files carry the run bit, but Python's unpacking drops it.
#[cfg(unix)]
pub fn make_runnable(bin: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;

    // The wheel of the extra targets has no programs.
    if !bin.is_dir() {
        return Ok(());
    }
    let failed = |source| Error::Io {
        action: "make runnable the files in",
        path: bin.into(),
        source,
    };
    for entry in fs::read_dir(bin).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_runnable(_bin: &Path) -> Result<(), Error> {
    Ok(())
}
