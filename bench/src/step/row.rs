use super::case::Case;
use crate::results::{Ceilings, Machine};
use crate::stats::{Ratio, Times, quantile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The version of the format of [`Steps`].
const FORMAT: u32 = 1;

/// A run over whole steps: what `--json` writes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// The version of this format.
    pub format: u32,
    /// Where it ran.
    pub machine: Machine,
    /// Threads of either side.
    pub threads: usize,
    /// Versions by name.
    pub versions: BTreeMap<String, String>,
    /// The commit that was measured, with `-dirty` behind it where files differ from it; empty outside of a checkout.
    pub commit: String,
    /// When it began, in RFC 3339.
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The command that repeats it.
    pub command: String,
    /// The device's own ceilings, measured in this run; none where nothing is held against them.
    pub ceilings: Option<Ceilings>,
    /// What was measured, in order.
    pub rows: Vec<Row>,
}

/// One step, ours and PyTorch's.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What was done.
    pub case: Case,
    /// Parameters of the network, and of its teacher.
    pub parameters: Vec<usize>,
    /// Our first step, which compiles its kernels unless a row before this one did, in ms.
    pub first_ms: f64,
    /// Our steps' times in ms, turn by turn.
    pub ours: Vec<Vec<f64>>,
    /// PyTorch's, by way.
    pub peers: Vec<Way>,
    /// The least time in which the device could do a step's operations one after the other, in ms; none of inference, whose maps may stay in
    /// caches.
    pub limit_ms: Option<f64>,
    /// The most that a step of ours held at once, in bytes: parameters and images, in training gradients and the optimiser's memory too.
    pub peak_bytes: u64,
    /// Kernels that a step of ours launches.
    pub launches: u64,
}

/// One of PyTorch's ways.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// `eager`, `compiled` or `frozen`.
    pub name: String,
    /// Its steps' times in ms, turn by turn; none where it failed.
    pub times: Vec<Vec<f64>>,
    /// Why it has no times.
    pub failed: Option<String>,
}

impl Steps {
    /// A run that begins now, of nothing so far.
    pub fn begin(machine: Machine, threads: usize, command: String) -> Self {
        let began = std::time::SystemTime::now();
        Self {
            format: FORMAT,
            machine,
            threads,
            versions: crate::machine::versions(),
            commit: crate::machine::commit(),
            began: humantime::format_rfc3339_seconds(began).to_string(),
            seconds: 0.0,
            command,
            ceilings: None,
            rows: Vec::new(),
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Row {
    /// Our median step, in ms.
    pub fn median(&self) -> f64 {
        median(&self.ours)
    }

    /// PyTorch's fastest way, with its median step in ms.
    pub fn best(&self) -> Option<(&Way, f64)> {
        let measured = self.peers.iter().filter(|way| !way.times.is_empty());
        let medians = measured.map(|way| (way, way.median()));
        medians.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// PyTorch's time in its fastest way over ours: above 1, ours is faster.
    pub fn ratio(&self) -> Option<Ratio> {
        let (best, _) = self.best()?;
        Ratio::of(&Times(best.times.clone()), &Times(self.ours.clone()))
    }

    /// The share of the device's limit that our step reaches.
    pub fn reached(&self) -> Option<f64> {
        Some(self.limit_ms? / self.median())
    }

    /// Images a second in steps of `ms`.
    pub fn images_per_s(&self, ms: f64) -> f64 {
        self.case.batch as f64 / ms * 1e3
    }

    /// One JSON object on one line, for who watches and for scripts.
    pub fn line(&self) -> String {
        let Case {
            network,
            batch,
            side,
            ..
        } = &self.case;
        let sorted = Times(self.ours.clone()).sorted();
        let ends = [sorted.first(), sorted.last()].map(|it| it.copied().unwrap_or(f64::NAN));
        let teacher = self.case.teacher.as_ref();
        let teacher = teacher.map_or(String::new(), |name| format!(", taught by {name}"));
        let mut line = format!(
            "{{\"op\": \"{network}\", \"case\": \"batch {batch}, {side} px{teacher}\", \"phase\": \"{}\", \"ms\": {:.3}, \"low_ms\": {:.3}, \
             \"high_ms\": {:.3}, \"first_ms\": {:.0}, \"images_per_s\": {:.1}",
            self.case.phase(),
            self.median(),
            ends[0],
            ends[1],
            self.first_ms,
            self.images_per_s(self.median()),
        );
        line += &format!(
            ", \"peak_bytes\": {}, \"launches\": {}",
            self.peak_bytes, self.launches
        );
        if let (Some(limit), Some(share)) = (self.limit_ms, self.reached()) {
            line += &format!(", \"limit_ms\": {limit:.3}, \"reached\": {share:.3}");
        }
        if let (Some((way, ms)), Some(ratio)) = (self.best(), self.ratio()) {
            line += &format!(
                ", \"torch\": \"{}\", \"torch_ms\": {ms:.3}, \"ratio\": {:.3}, \"ratio_low\": {:.3}, \"ratio_high\": {:.3}",
                way.name, ratio.value, ratio.low, ratio.high
            );
        }
        line + "}"
    }
}

impl Way {
    /// Its median step, in ms.
    pub fn median(&self) -> f64 {
        median(&self.times)
    }
}

fn median(turns: &[Vec<f64>]) -> f64 {
    quantile(&Times(turns.to_vec()).sorted(), 0.5)
}
