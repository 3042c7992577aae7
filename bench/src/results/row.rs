//! What is known of one variant of one phase of one problem.

use crate::stats::{Ratio, Times};
use ghostlight_kernels::Work;
use serde::{Deserialize, Serialize};
use std::fmt;

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

/// The ceiling that binds a problem: what takes longest.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Its bytes.
    Memory,
    /// Its multiply-adds; `compute` in files up to format 2, which counted no other arithmetic.
    #[serde(alias = "compute")]
    MultiplyAdds,
    /// Its exponentials.
    Exponentials,
    /// Its logarithms.
    Logarithms,
    /// Its divisions, reciprocals and square roots.
    Divisions,
    /// Its comparisons.
    Compares,
    /// Its launches.
    Launch,
}

impl Bound {
    /// Every ceiling.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::MultiplyAdds,
        Self::Exponentials,
        Self::Logarithms,
        Self::Divisions,
        Self::Compares,
        Self::Launch,
    ];

    /// What a table of few columns calls it.
    pub fn short(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::MultiplyAdds => "mul-add",
            Self::Exponentials => "exp",
            Self::Logarithms => "log",
            Self::Divisions => "div",
            Self::Compares => "compare",
            Self::Launch => "launch",
        }
    }
}

impl From<Work> for Bound {
    fn from(work: Work) -> Self {
        match work {
            Work::MultiplyAdds => Self::MultiplyAdds,
            Work::Exponentials => Self::Exponentials,
            Work::Logarithms => Self::Logarithms,
            Work::Divisions => Self::Divisions,
            Work::Compares => Self::Compares,
        }
    }
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
    /// The median of each turn, in ms, in the order of the turns. In a row that was looked at once, turns of the same place in two rows of a
    /// problem make a pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns_ms: Vec<f64>,
    /// How often the row was looked at: more than once where it could not be told, and there was a budget for more turns.
    #[serde(default = "once")]
    pub looks: usize,
    /// The variant's median over ours: above 1, ours is faster. None for ours itself.
    pub ratio: Option<f64>,
    /// The lower end of the ratio's interval of 95 %, Student's t over the logarithms of the turns' ratios. In a run with a budget for unsure rows
    /// it is one of 99 %, so that over five looks it holds 95.
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
    /// The most that tensors of ours held at once during its first call, in bytes: operands, results and scratch. None of a peer, whose memory is
    /// not ours to count.
    #[serde(default)]
    pub peak_bytes: Option<u64>,
    /// What its first call took longer than the median of some later ones, in ms: the compilation of what no variant before it had compiled.
    #[serde(default)]
    pub compile_ms: Option<f64>,
    /// The clock of the processor's fastest core, or of the card, in GHz: the mean over its turns.
    #[serde(default)]
    pub ghz: Option<f64>,
    /// Processors that others kept busy while the phase was timed.
    #[serde(default)]
    pub load: Option<f64>,
    /// Energy of a call in joules, of the whole processor or card.
    #[serde(default)]
    pub joules: Option<f64>,
    /// What slowed the device down meanwhile.
    #[serde(default)]
    pub note: Option<String>,
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

fn once() -> usize {
    1
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
            Self::MultiplyAdds => "multiply-adds",
            Self::Exponentials => "exponentials",
            Self::Logarithms => "logarithms",
            Self::Divisions => "divisions",
            Self::Compares => "compares",
            Self::Launch => "launch",
        })
    }
}
