//! What a run of the bench leaves behind: `results.json`, from which the report, the table and every comparison are made.

use crate::stats::{Ratio, Times};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The version of this format. A file of a later one is refused; one of an earlier one lacks fields and is read.
pub const FORMAT: u32 = 2;

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

/// What the device can do at best, as measured by CubeCL's own probes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// Bandwidths by access and working set.
    pub memory: Vec<Bandwidth>,
    /// Multiply-adds at best, in GFLOP/s (two a multiply-add); 0 where there is no probe.
    pub gflop_s: f64,
    /// An empty launch, to the end of its work, in us.
    pub launch_us: f64,
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

/// The variant that every other is held against.
pub const OURS: &str = "ours";

/// Ours under another name, whose ratio must be 1: what it differs by is the noise of the run.
pub const CONTROL: &str = "control";

/// Whether the operands were in the caches when a call began.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// Left there by the call before.
    Hot,
    /// Flushed before every call.
    Cold,
}

/// What an interval of ratios says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The whole interval lies within the noise around 1.
    Same,
    /// We are faster than the peer: the whole interval lies above 1 by more than the noise.
    Faster,
    /// We are slower than the peer: the whole interval lies below 1 by more than the noise. Such a row is lost.
    Slower,
    /// The interval is too wide to tell.
    Unsure,
}

/// The ceiling that binds a problem.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Its bytes take longest.
    Memory,
    /// Its multiply-adds take longest.
    Compute,
    /// Its launches take longest.
    Launch,
}

/// One variant of one phase of one problem.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The operation: `depthwise`.
    pub op: String,
    /// The problem.
    pub case: String,
    /// `forward`, `grad_input`, `grad_weight`, `loss+grad`, ...
    pub phase: String,
    /// `ours`, `control` (ours under another name), or the peer.
    pub variant: String,
    /// `wall` (to the end of the work, seen from the caller) or `device` (the device's own durations).
    pub clock: String,
    /// Whether the caches were flushed.
    pub cache: Cache,
    /// The median call, in ms.
    pub median_ms: f64,
    /// The 10th percentile of the calls, in ms.
    pub low_ms: f64,
    /// The 90th percentile of the calls, in ms.
    pub high_ms: f64,
    /// Calls behind these.
    pub calls: usize,
    /// The median of each turn, in ms, in the order of the turns; turns of the same place in two rows of a problem make a pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns_ms: Vec<f64>,
    /// The variant's median over ours: above 1, ours is faster. None for ours itself.
    pub ratio: Option<f64>,
    /// The lower end of the ratio's interval of 95 %, Student's t over the logarithms of the turns' ratios.
    pub ratio_low: Option<f64>,
    /// Its upper end.
    pub ratio_high: Option<f64>,
    /// What the interval says.
    pub verdict: Option<Verdict>,
    /// The fraction of the binding ceiling that this variant reaches: the least time the device would need over its median.
    pub roofline: Option<f64>,
    /// The ceiling that binds.
    pub bound: Option<Bound>,
    /// Needed bytes over the median, in GB/s.
    pub gb_s: f64,
    /// Two a multiply-add, over the median, in GFLOP/s.
    pub gflop_s: f64,
    /// FLOP a needed byte.
    pub intensity: f64,
    /// The largest error of an output's element against the reference in f64, in units of what it may be off: above 1 there is no row.
    #[serde(default)]
    pub error: Option<f64>,
    /// The share of the reference's elements that are NaN, which admits anything.
    #[serde(default)]
    pub unchecked: Option<f64>,
    /// A digest of the bits of the outputs: two runs with the same one computed the same bits.
    #[serde(default)]
    pub digest: Option<String>,
    /// Launches of a call, where they can be counted.
    pub launches: Option<u64>,
    /// Allocations of a call, where they can be counted.
    pub allocations: Option<u64>,
    /// The sweep that this problem is a point of.
    pub sweep: Option<Sweep>,
    /// The networks that have this problem.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// How often a network has a problem.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The network.
    pub network: String,
    /// Layers of it that are this problem.
    pub times: usize,
    /// Layers that it has of the operation, those of other problems included.
    pub of: usize,
}

/// A point of a sweep: one extent changes, all others stay.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// What changes: `channels`, `side`, `kernel`, `groups`, `classes`.
    pub axis: String,
    /// The point on it.
    pub at: f64,
}

/// A variant that gets no time.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The operation.
    pub op: String,
    /// The problem.
    pub case: String,
    /// The phase.
    pub phase: String,
    /// The variant.
    pub variant: String,
    /// What was found.
    pub reason: String,
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

impl Refused {
    /// Whether this is ours, by either of its names.
    pub fn is_ours(&self) -> bool {
        [OURS, CONTROL].contains(&self.variant.as_str())
    }

    /// Whether this is of the same problem and variant.
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.op, &self.case, &self.phase, &self.variant)
            == (&other.op, &other.case, &other.phase, &other.variant)
    }
}

impl Row {
    /// Whether this is our own time.
    pub fn is_ours(&self) -> bool {
        self.variant == OURS
    }

    /// Whether this is ours under another name.
    pub fn is_control(&self) -> bool {
        self.variant == CONTROL
    }

    /// Whether this is somebody else's implementation.
    pub fn is_peer(&self) -> bool {
        !self.is_ours() && !self.is_control()
    }

    /// Whether this is of the same problem, measured in the same way; the variant may be another.
    pub fn is_beside(&self, other: &Self) -> bool {
        (&self.op, &self.case, &self.phase) == (&other.op, &other.case, &other.phase)
            && (&self.clock, self.cache, &self.sweep) == (&other.clock, other.cache, &other.sweep)
    }

    /// How many times as fast this is as `other`, from turns of the same round; none without a pair of turns.
    pub fn gain(&self, other: &Self) -> Option<Ratio> {
        let turns = |row: &Self| Times(row.turns_ms.iter().map(|&ms| vec![ms]).collect());
        Ratio::of(&turns(other), &turns(self))
    }

    /// Whether we lose against this variant: the verdict is SLOWER, and nothing else.
    pub fn lost(&self) -> bool {
        self.is_peer() && self.verdict == Some(Verdict::Slower)
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Hot => "hot",
            Self::Cold => "cold",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Same => "SAME",
            Self::Faster => "FASTER",
            Self::Slower => "SLOWER",
            Self::Unsure => "UNSURE",
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Compute => "compute",
            Self::Launch => "launch",
        })
    }
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
