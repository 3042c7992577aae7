//! Puts the LLVM that CubeCL's CPU runtime links where its build script (`tracel-llvm-bundler`) looks for it.
//!
//! That build script takes the folder `<data>/tracel/tracel-llvm-23.1.0-4` when it holds an empty marker file, and downloads
//! an archive otherwise. Set-up fills the same folder from a Python wheel, because a package index is reachable, and
//! mirrored, in more places than a release page is.
//!
//! Everything is unpacked in a folder beside the target and renamed into place, under a lock that the system drops when its
//! holder dies. A run that was interrupted leaves nothing but a folder that the next run removes.

mod error;
#[cfg(test)]
pub mod tests;
pub mod wheel;

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{self, Command},
};

pub use error::Error;
pub use wheel::{Wheel, Wheels, fetch};

/// Version and release of `tracel-llvm-bundler`, from which it makes the name of its folder.
const FOLDER: &str = "tracel-llvm-23.1.0-4";
const MARKER: &str = ".tracel-llvm-installed";
const LOCK: &str = ".ghostlight-setup.lock";
const LLVM_CONFIG: &str = if cfg!(windows) {
    "bin/llvm-config.exe"
} else {
    "bin/llvm-config"
};
const LLD: &str = if cfg!(windows) {
    "lib/lldELF.lib"
} else {
    "lib/liblldELF.a"
};
/// Says that the extra targets are there: llvm-config does not mention them without it, so it arrives after they have.
const EXTRA_MARKER: &str = "share/mlc-llvm-static/extra.json";
const BASE_MARKER: &str = "share/mlc-llvm-static/base.json";

/// What the chosen runtimes link beyond the CPU's own target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// The NVPTX target, for `cuda`.
    pub nvptx: bool,
    /// The linker `lld` as a library, for `hip`.
    pub lld: bool,
}

/// The folder that the build script looks for.
pub struct Bundle {
    /// The folder that holds it, and beside it the temporaries and the lock of set-up.
    parent: PathBuf,
}

impl Bundle {
    /// The bundle of this user, whether it is there or not.
    pub fn of_this_user() -> Result<Self, Error> {
        data_of_this_user().map(|data| Self::under(&data))
    }

    /// The bundle in the user's data folder `data`.
    pub fn under(data: &Path) -> Self {
        Self {
            parent: data.join("tracel"),
        }
    }

    /// The folder of the bundle.
    pub fn folder(&self) -> PathBuf {
        self.parent.join(FOLDER)
    }

    /// Makes sure that the bundle is there and holds what is needed; fetches what is missing.
    ///
    /// `fetch` gets a wheel and a folder and puts the wheel's file there.
    pub fn ensure(
        &self,
        needs: Needs,
        wheels: Result<Wheels, Error>,
        fetch: impl Fn(&Wheel, &Path) -> Result<PathBuf, Error>,
    ) -> Result<(), Error> {
        let folder = self.folder();
        if needs.lld && !folder.join(LLD).is_file() {
            let installed = folder.join(MARKER).is_file();
            return Err(Error::NoLld { folder, installed });
        }
        if self.satisfies(needs) {
            self.sweep_if_idle();
            return Ok(());
        }
        let wheels = wheels?;
        let _lock = lock(&self.parent)?;
        self.sweep();
        if self.libraries().is_err() {
            let staging = Staging::beside(&folder)?;
            let sdk = staging.unpack(&wheels.base, &fetch)?;
            query_libraries(&sdk)?;
            let marker = sdk.join(MARKER);
            File::create(&marker).map_err(failed("create", &marker))?;
            if folder.exists() {
                rename(&folder, &staging.0.join("replaced"))?;
            }
            rename(&sdk, &folder)?;
            eprintln!("set-up: unpacked LLVM into {}", folder.display());
        }
        if !self.satisfies(needs) {
            if !folder.join(BASE_MARKER).is_file() {
                return Err(Error::NoNvptx { folder });
            }
            let staging = Staging::beside(&folder)?;
            let sdk = staging.unpack(&wheels.extra, &fetch)?;
            merge(&sdk, &folder)?;
            eprintln!(
                "set-up: unpacked LLVM's extra targets into {}",
                folder.display()
            );
        }
        self.libraries().map(drop)
    }

    fn satisfies(&self, needs: Needs) -> bool {
        self.libraries()
            .is_ok_and(|libraries| !needs.nvptx || libraries.contains("LLVMNVPTXCodeGen"))
    }

    /// The libraries of a complete bundle.
    fn libraries(&self) -> Result<String, Error> {
        let folder = self.folder();
        let marker = folder.join(MARKER);
        fs::metadata(&marker).map_err(failed("find", &marker))?;
        query_libraries(&folder)
    }

    /// The temporaries of other runs.
    fn leftovers(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.parent).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&partial(""))
        })
    }

    /// Removes the temporaries of runs that were killed. Only for the holder of the lock: what is there then is dead.
    fn sweep(&self) {
        for path in self.leftovers() {
            // Nobody waits for it: what the orphan of a killed run still writes to is removed by a later run.
            let _ = fs::remove_dir_all(path);
        }
    }

    fn sweep_if_idle(&self) {
        if self.leftovers().next().is_some()
            && let Ok(lock) = File::open(self.parent.join(LOCK))
            && lock.try_lock().is_ok()
        {
            self.sweep();
        }
    }
}

/// A temporary folder beside the bundle, so that a rename is all that separates the two; removed when dropped.
struct Staging(PathBuf);

impl Staging {
    fn beside(folder: &Path) -> Result<Self, Error> {
        let path = folder.with_file_name(partial(&process::id().to_string()));
        fs::create_dir_all(path.join("wheel")).map_err(failed("create", &path))?;
        Ok(Self(path))
    }

    /// Fetches and unpacks a wheel; returns the folder in it that is laid out as an LLVM installation.
    fn unpack(
        &self,
        wheel: &Wheel,
        fetch: impl Fn(&Wheel, &Path) -> Result<PathBuf, Error>,
    ) -> Result<PathBuf, Error> {
        let file = fetch(wheel, &self.0.join("wheel"))?;
        wheel::unpack(wheel, &file, &self.0)?;
        Ok(self.0.join(wheel::ROOT))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn partial(run: &str) -> String {
    format!("{FOLDER}.partial-{run}")
}

/// Waits until no other set-up is at work in the folder `parent`, which is made.
pub fn lock(parent: &Path) -> Result<File, Error> {
    fs::create_dir_all(parent).map_err(failed("create", parent))?;
    let path = parent.join(LOCK);
    let file = File::create(&path).map_err(failed("create", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("set-up: waiting for another one to end"),
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// Asks llvm-config as the build scripts do. It fails too when one of the libraries is missing.
fn query_libraries(folder: &Path) -> Result<String, Error> {
    let broken = |reason| Error::Broken {
        folder: folder.into(),
        reason,
    };
    let llvm_config = folder.join(LLVM_CONFIG);
    let output = Command::new(&llvm_config)
        .args(["--link-static", "--libs"])
        .output()
        .map_err(|error| broken(format!("{} does not start: {error}", llvm_config.display())))?;
    if !output.status.success() {
        return Err(broken(wheel::complaint(&output)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Moves the files of `from` into the same places of `to`, the one that makes them known last.
fn merge(from: &Path, to: &Path) -> Result<(), Error> {
    let mut files = Vec::new();
    collect(from, Path::new(""), &mut files)?;
    files.sort_by_key(|file| file == Path::new(EXTRA_MARKER));
    for file in files {
        let place = to.join(&file);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(failed("create", parent))?;
        }
        rename(&from.join(&file), &place)?;
    }
    Ok(())
}

fn collect(root: &Path, under: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let folder = root.join(under);
    for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
        let entry = entry.map_err(failed("read", &folder))?;
        let path = under.join(entry.file_name());
        if root.join(&path).is_dir() {
            collect(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

pub fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(failed("move what set-up unpacked to", to))
}

pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}

/// The local data folder of this user.
pub fn data_of_this_user() -> Result<PathBuf, Error> {
    let data = data_local_dir(env::consts::OS, env::home_dir(), |name| env::var_os(name));
    data.ok_or(Error::NoDataDir)
}

/// The user's local data folder as the `dirs` crate, which the build script asks, defines it.
fn data_local_dir(
    os: &str,
    home: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let home = home.filter(|home| !home.as_os_str().is_empty());
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    match os {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => home.map(|home| home.join("Library/Application Support")),
        _ => absolute("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share"))),
    }
}
