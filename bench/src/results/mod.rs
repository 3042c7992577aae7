//! What a run of the bench leaves behind: `results.json`, from which the report, the table and every comparison are made.

mod row;

pub use row::{Bound, CONTROL, Cache, Layer, OURS, Refused, Row, Sweep, Verdict};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The version of this format. A file of a later one is refused; one of an earlier one lacks fields and is read.
pub const FORMAT: u32 = 3;

/// A run of the bench.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// [`FORMAT`], or an earlier one.
    pub format: u32,
    /// Where it ran.
    pub machine: Machine,
    /// Versions by name: `ghostlight`, `cubecl`, `rustc`, and those of the peers that ran.
    pub versions: BTreeMap<String, String>,
    /// The commit that was measured, with `-dirty` behind it where files differ from it; empty outside of a checkout.
    pub commit: String,
    /// When it began, in RFC 3339.
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The command that repeats it.
    pub command: String,
    /// The device's own ceilings, measured in this run.
    pub ceilings: Ceilings,
    /// Counters that the machine does not show, or not to who ran this: the rows' fields that hang on them are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What was measured, in the order of measuring.
    pub rows: Vec<Row>,
    /// What was not, and why.
    pub refused: Vec<Refused>,
}

/// A machine and the device on it that ran the kernels.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The device, as the runtime names it.
    pub device: String,
    /// CubeCL's runtime: `cpu`, `cuda`, ...
    pub runtime: String,
    /// The processor, the driver, or both.
    pub driver: String,
    /// The operating system with its version.
    pub system: String,
    /// Cores of the host.
    pub cores: usize,
    /// Memory of the host, in bytes.
    pub memory: u64,
}

/// What the device can do at best, as measured in this run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// Bandwidths by access and working set.
    pub memory: Vec<Bandwidth>,
    /// Multiply-adds in 32 bits at best, in GFLOP/s (two a multiply-add); 0 where there is no probe.
    pub gflop_s: f64,
    /// Other arithmetic at best, by kind and element type, as far as the rows of the run need it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peaks: Vec<Peak>,
    /// An empty launch, to the end of its work, in us.
    pub launch_us: f64,
}

/// One kind of arithmetic on elements of one type at best.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Peak {
    /// The kind.
    pub work: Bound,
    /// The element type: `f32`, `f64`, and for multiply-adds `f16` or `bf16`.
    pub dtype: String,
    /// Operations on single elements, in thousands of millions a second.
    pub g_s: f64,
}

/// The bandwidth of one access pattern over one working set.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    /// `read`, `write` or `copy`.
    pub access: String,
    /// Whether the bytes were in the caches.
    pub cache: Cache,
    /// Bytes that are touched in all: those of both buffers of a copy.
    pub bytes: u64,
    /// Bytes read and written, per ns.
    pub gb_s: f64,
}

/// The beginning of a file of any format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Why a file of results cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no JSON, or not of this format.
    #[error("{}, line {line}, column {column}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The line's column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It was written by a later version of the bench.
    #[error("{}: format {found}, where this bench reads up to {FORMAT}; compare with a bench of that version, or measure again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl Results {
    /// Reads a `results.json`.
    ///
    /// # Errors
    /// The file cannot be read; it is malformed, which is told with its line; it is of another format.
    pub fn read(path: &Path) -> Result<Self, ResultsError> {
        let text = fs::read_to_string(path).map_err(|source| ResultsError::File {
            path: path.into(),
            source,
        })?;
        let malformed = |error: serde_json::Error| ResultsError::Malformed {
            path: path.into(),
            line: error.line(),
            column: error.column(),
            reason: error.to_string(),
        };
        // A later format has fields that this one does not know: its number is told before any of them.
        let Format { format: found } = serde_json::from_str(&text).map_err(malformed)?;
        if found > FORMAT {
            return Err(ResultsError::Format {
                path: path.into(),
                found,
            });
        }
        serde_json::from_str(&text).map_err(malformed)
    }

    /// Writes a `results.json`, indented, so that a line names one value.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ResultsError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        fs::write(path, text + "\n").map_err(|source| ResultsError::File {
            path: path.into(),
            source,
        })
    }
}
