//! Why LLVM could not be put in place, each with the way out.

use std::{fmt, io, path::PathBuf};

/// A reason why set-up could not put LLVM in place.
#[derive(Debug)]
pub enum Error {
    /// Neither a home folder nor its override is known.
    NoDataDir,
    /// No wheel is published for this machine.
    UnsupportedPlatform { os: String, arch: String },
    /// No wheel of NVIDIA's assembler is published for this machine.
    NoCudaTools { os: String, arch: String },
    /// A wheel lacks the file that it was fetched for.
    Missing {
        requirement: String,
        file: &'static str,
    },
    /// The `hip` feature links `lld`, which the wheels do not hold.
    NoLld { folder: PathBuf, installed: bool },
    /// An LLVM that set-up did not install lacks the NVIDIA target.
    NoNvptx { folder: PathBuf },
    /// `python3` could not be started.
    NoPython { source: io::Error },
    /// `python3` is there, but neither pip nor a virtual environment that holds it.
    NoPip,
    /// pip could not fetch the package.
    Download { requirement: String },
    /// The wheel is not the one that was checked when its version was chosen.
    WrongHash {
        requirement: String,
        expected: String,
        found: String,
    },
    /// The wheel could not be unpacked.
    Unpack { wheel: PathBuf, reason: String },
    /// What was unpacked does not answer as the build scripts will ask it.
    Broken { folder: PathBuf, reason: String },
    /// A file or folder could not be read or written.
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDataDir => write!(
                f,
                "the home folder of this user is not known: set HOME (LOCALAPPDATA on Windows) and run again"
            ),
            Self::UnsupportedPlatform { os, arch } => write!(
                f,
                "the mlc-llvm-static package has no LLVM with an llvm-config for {os} on {arch}"
            ),
            Self::NoCudaTools { os, arch } => write!(
                f,
                "NVIDIA publishes no wheel of ptxas for {os} on {arch}: set CUDA_PATH to the folder of a CUDA toolkit"
            ),
            Self::Missing { requirement, file } => {
                write!(
                    f,
                    "the wheel of {requirement} holds no {file}, for which it was pinned"
                )
            }
            Self::NoLld {
                folder,
                installed: true,
            } => write!(
                f,
                "the feature `hip` links lld, which the LLVM in {} lacks: remove that folder, and the build downloads one that has it",
                folder.display()
            ),
            Self::NoLld { .. } => write!(
                f,
                "the feature `hip` links lld, which the mlc-llvm-static package lacks"
            ),
            Self::NoNvptx { folder } => write!(
                f,
                "the feature `cuda` links LLVM's NVPTX target, which {} lacks: remove that folder and run again",
                folder.display()
            ),
            Self::NoPython { source } => write!(
                f,
                "python3, which fetches what set-up puts in place and runs LLVM's llvm-config, cannot be started ({source}): install it \
                 (Debian, Ubuntu: `apt-get install python3 python3-pip`) and run again"
            ),
            Self::NoPip => write!(
                f,
                "python3 has neither pip nor a working `python3 -m venv`: install pip \
                 (Debian, Ubuntu: `apt-get install python3-pip`) and run again"
            ),
            Self::Download { requirement } => write!(
                f,
                "pip could not fetch {requirement}, for the reason it gives above
  Check the network and pip's index, or set \
                 PIP_FIND_LINKS to a folder that holds the wheel, and run again"
            ),
            Self::WrongHash {
                requirement,
                expected,
                found,
            } => write!(
                f,
                "the wheel of {requirement} was refused: its SHA-256 is {found}, expected {expected}\n  \
                 Clear pip's cache (`python3 -m pip cache purge`), check which index pip reads (`python3 -m pip config list`), and run again"
            ),
            Self::Unpack { wheel, reason } => write!(
                f,
                "{} could not be unpacked: {reason}\n  Make sure that the disk has 500 MB free and run again",
                wheel.display()
            ),
            Self::Broken { folder, reason } => write!(
                f,
                "the LLVM in {} does not work: {reason}\n  Its llvm-config needs a `python3` on the PATH; put one there and run again",
                folder.display()
            ),
            Self::Io {
                action,
                path,
                source,
            } => write!(f, "cannot {action} {}: {source}", path.display()),
        }
    }
}
