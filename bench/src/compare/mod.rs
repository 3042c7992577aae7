//! Two runs of the bench, row by row: what became faster, what slower, and what cannot be told.
//!
//! Ours is held against ours: the ratio is `a`'s median over `b`'s, so that above 1 `b` is faster. The two were not measured in turns, so
//! a ratio means less here than within one run, and three things guard against reading too much into it:
//!
//! - *The interval of the ratio*, by Welch over the medians of both runs' turns. A run of an older bench kept percentiles alone: from the
//!   10th to the 90th lie 2.56 standard deviations of normally distributed logarithms, a median's standard error is 1.25 deviations over the root
//!   of the calls; calls in a row share what the machine was just doing, so more than [`INDEPENDENT`] of them do not narrow it.
//! - *The noise*: [`NOISE`], or what nine of ten control rows of both runs stay within, whichever is more; with flushed caches, of the
//!   control rows with flushed caches.
//! - *The drift*: how much the times of peers changed, whose code is the same in both. A verdict has to hold with it and without it,
//!   and a row is no slower where the peers beside it became slower as well and it did not fall behind them.
//!
//! FASTER: the whole interval lies above the noise. SLOWER: below. SAME: within. UNSURE: anything else. A comparison is a gate: [`Fault`]
//! says what does not pass.

mod estimate;
mod fault;
mod show;

pub(crate) use estimate::Estimate;
pub use fault::Fault;

use crate::report::peers;
use crate::results::{Cache, Machine, OURS, Refused, Results, Row, Verdict};

/// A run against the next of the same build differs by this much without any reason.
pub const NOISE: f64 = 0.05;

/// The first format whose times were taken as this bench takes them.
const SAME_TURNS: u32 = 2;

/// At most so many calls of a row count as independent.
pub const INDEPENDENT: usize = 25;

/// What names a row of ours in both runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The operation.
    pub op: String,
    /// The problem.
    pub case: String,
    /// The phase.
    pub phase: String,
    /// Whether the caches were flushed.
    pub cache: Cache,
    /// The clock.
    pub clock: String,
}

impl Key {
    /// That of a row.
    pub fn of(row: &Row) -> Self {
        Self {
            op: row.op.clone(),
            case: row.case.clone(),
            phase: row.phase.clone(),
            cache: row.cache,
            clock: row.clock.clone(),
        }
    }

    /// `op/phase/case`, which filters are looked for in.
    pub fn line(&self) -> String {
        format!("{}/{}/{}", self.op, self.phase, self.case)
    }
}

/// A row of ours that both runs have.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// Medians of `a` and `b`, in ms.
    pub ms: [f64; 2],
    /// `a` over `b`: above 1, `b` is faster.
    pub ratio: f64,
    /// The interval of 95 %; none where a spread is missing.
    pub interval: Option<[f64; 2]>,
    /// The geometric mean of the same ratio of the peers beside it, whose code is the same in both.
    pub peers: Option<f64>,
    /// What it says of `b`.
    pub verdict: Verdict,
    /// Whether both computed the same bits, where both say.
    pub same_bits: Option<bool>,
    /// The largest errors of `a` and `b`, in units of their budget.
    pub errors: [Option<f64>; 2],
}

/// Differences up to these fractions are noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Of rows whose operands were in the caches.
    pub hot: f64,
    /// Of rows whose caches were flushed.
    pub cold: f64,
}

impl Noise {
    /// What nine of ten control rows of both runs stay within, in each state of the caches; at least [`NOISE`].
    pub(crate) fn of(a: &Results, b: &Results) -> Self {
        let within = |cache| {
            let controls = [a, b].into_iter().flat_map(|run| &run.rows);
            let mut off: Vec<f64> = controls
                .filter(|row| row.is_control() && row.cache == cache)
                .filter_map(|row| row.ratio.filter(|ratio| *ratio > 0.0))
                .map(|ratio| ratio.ln().abs().exp_m1())
                .collect();
            off.sort_by(f64::total_cmp);
            let nine_of_ten = off.get((off.len() * 9 / 10).min(off.len().saturating_sub(1)));
            nine_of_ten.copied().unwrap_or(0.0).max(NOISE)
        };
        Self {
            hot: within(Cache::Hot),
            cold: within(Cache::Cold),
        }
    }

    /// That of rows of this state.
    pub fn with(self, cache: Cache) -> f64 {
        match cache {
            Cache::Hot => self.hot,
            Cache::Cold => self.cold,
        }
    }
}

/// What two runs differ by.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Why the two can hardly be compared, one sentence each.
    pub warnings: Vec<String>,
    /// Whether both ran on the same machine by the same clock; where not, no time counts as a failure.
    pub comparable: bool,
    /// Differences up to this are noise.
    pub noise: Noise,
    /// What changed although its code did not, in each state of the caches that peers were timed in.
    pub drift: Vec<Drift>,
    /// Rows of both, in the order of `a`.
    pub changes: Vec<Change>,
    /// What of ours `b` refused, and `a` did not, with the reason.
    pub refused: Vec<Refused>,
    /// Rows of `a` that `b` lacks.
    pub only_a: Vec<Key>,
    /// Rows of `b` that `a` lacks.
    pub only_b: Vec<Key>,
}

/// How much the peers changed, in one state of the caches.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The state.
    pub cache: Cache,
    /// The geometric mean of `a` over `b`.
    pub ratio: f64,
    /// Rows that it is the mean of.
    pub rows: usize,
    estimate: Estimate,
}

impl Comparison {
    /// Rows whose bits are others now.
    pub fn other_bits(&self) -> usize {
        let changes = self.changes.iter();
        changes
            .filter(|change| change.same_bits == Some(false))
            .count()
    }

    /// Rows of a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.changes
            .iter()
            .filter(|change| change.verdict == verdict)
            .count()
    }
}

/// Holds `b`, the newer, against `a`.
pub fn compare(a: &Results, b: &Results) -> Comparison {
    let noise = Noise::of(a, b);
    let (mine, theirs) = (rows(a, OURS), rows(b, OURS));
    let peers = SamePeers::of(a, b);
    let drift: Vec<Drift> = [Cache::Hot, Cache::Cold]
        .into_iter()
        .filter_map(|cache| peers.drift(cache))
        .collect();
    let changes = mine.iter().filter_map(|row| {
        let drift = drift.iter().find(|drift| drift.cache == row.cache);
        Some(change(row, beside(&theirs, row)?, noise, drift, &peers))
    });
    let changes = changes.collect();
    let mut warnings = differences(&a.machine, &b.machine);
    let other_clock = clocks(a) != clocks(b);
    if other_clock {
        warnings.push(format!(
            "The clocks differ: {} and {}. Only rows of the same clock are compared.",
            clocks(a).join(" and "),
            clocks(b).join(" and ")
        ));
    }
    let comparable = warnings.is_empty();
    if !comparable {
        warnings.push("No time below counts as a failure.".into());
    }
    for run in [a, b].into_iter().filter(|run| run.format < SAME_TURNS) {
        let (began, format) = (&run.began, run.format);
        warnings.push(format!(
            "The run of {began} is of an older bench (format {format}): its turns, cold caches and intervals were others."
        ));
    }
    for drift in drift
        .iter()
        .filter(|drift| drift.ratio.ln().abs() > noise.with(drift.cache).ln_1p())
    {
        warnings.push(format!(
            "The peers, whose code is the same, changed too: a ratio of {:.2} in the mean of {} {} rows. The machine was not the same.",
            drift.ratio, drift.rows, drift.cache
        ));
    }
    let was_refused = |refused: &&Refused| !a.refused.iter().any(|old| old.is_of(refused));
    Comparison {
        warnings,
        comparable,
        noise,
        drift,
        changes,
        refused: b
            .refused
            .iter()
            .filter(|refused| refused.is_ours())
            .filter(was_refused)
            .cloned()
            .collect(),
        only_a: missing(&mine, &theirs),
        only_b: missing(&theirs, &mine),
    }
}

/// The rows of peers that are of one version in both runs: another version may well be faster.
struct SamePeers<'a>(Vec<(&'a Row, &'a Row)>);

impl<'a> SamePeers<'a> {
    fn of(a: &'a Results, b: &'a Results) -> Self {
        let mut pairs = Vec::new();
        for peer in peers(&a.rows) {
            if a.versions.get(peer) == b.versions.get(peer) {
                let theirs = rows(b, peer);
                let both = rows(a, peer).into_iter();
                pairs.extend(both.filter_map(|row| Some((row, beside(&theirs, row)?))));
            }
        }
        Self(pairs)
    }

    fn changes(&self, of: impl Fn(&Row) -> bool) -> Vec<Estimate> {
        let pairs = self.0.iter().filter(|(row, _)| of(row));
        pairs
            .filter_map(|(a, b)| Some(Estimate::of(a)?.over(Estimate::of(b)?)))
            .collect()
    }

    fn drift(&self, cache: Cache) -> Option<Drift> {
        let changes = self.changes(|row| row.cache == cache);
        let estimate = Estimate::mean(&changes)?;
        Some(Drift {
            cache,
            ratio: estimate.value(),
            rows: changes.len(),
            estimate,
        })
    }

    /// How much the peers of `row`'s own problem changed.
    fn beside(&self, row: &Row) -> Option<Estimate> {
        Estimate::mean(&self.changes(|peer| peer.is_beside(row)))
    }
}

fn rows<'a>(results: &'a Results, variant: &str) -> Vec<&'a Row> {
    let rows = results.rows.iter();
    rows.filter(|row| row.variant == variant).collect()
}

fn beside<'a>(rows: &[&'a Row], row: &Row) -> Option<&'a Row> {
    rows.iter().copied().find(|other| other.is_beside(row))
}

fn missing(from: &[&Row], to: &[&Row]) -> Vec<Key> {
    let alone = from.iter().filter(|row| beside(to, row).is_none());
    alone.map(|row| Key::of(row)).collect()
}

fn change(a: &Row, b: &Row, noise: Noise, drift: Option<&Drift>, peers: &SamePeers) -> Change {
    let noise = noise.with(a.cache);
    let change = Estimate::of(a).zip(Estimate::of(b)).map(|(a, b)| a.over(b));
    let beside = peers.beside(a);
    Change {
        key: Key::of(a),
        ms: [a.median_ms, b.median_ms],
        ratio: a.median_ms / b.median_ms,
        interval: change.map(Estimate::interval),
        peers: beside.map(Estimate::value),
        verdict: change.map_or(Verdict::Unsure, |change| {
            judged(change, noise, drift, beside)
        }),
        same_bits: a
            .digest
            .as_ref()
            .zip(b.digest.as_ref())
            .map(|(a, b)| a == b),
        errors: [a.error, b.error],
    }
}

/// The verdict on a change of ours, which must not be the machine's.
fn judged(
    change: Estimate,
    noise: f64,
    drift: Option<&Drift>,
    beside: Option<Estimate>,
) -> Verdict {
    let verdict = change.verdict(noise);
    let without = |drift: Estimate| change.over(drift).verdict(noise);
    let is_shared = |peers: Estimate| {
        peers.verdict(noise) == Verdict::Slower && without(peers) != Verdict::Slower
    };
    let holds = drift.is_none_or(|drift| without(drift.estimate) == verdict);
    let excused = verdict == Verdict::Slower && beside.is_some_and(is_shared);
    match holds && !excused {
        true => verdict,
        false => Verdict::Unsure,
    }
}

fn verdict([low, high]: [f64; 2], noise: f64) -> Verdict {
    let (bottom, top) = (1.0 / (1.0 + noise), 1.0 + noise);
    if low > top {
        Verdict::Faster
    } else if high < bottom {
        Verdict::Slower
    } else if low >= bottom && high <= top {
        Verdict::Same
    } else {
        Verdict::Unsure
    }
}

fn clocks(results: &Results) -> Vec<&str> {
    let mut clocks: Vec<&str> = results.rows.iter().map(|row| row.clock.as_str()).collect();
    clocks.sort_unstable();
    clocks.dedup();
    clocks
}

/// What tells two machines apart. Memory may differ by what a kernel keeps for itself.
fn differences(a: &Machine, b: &Machine) -> Vec<String> {
    let gib = |machine: &Machine| (machine.memory as f64 / f64::from(1 << 30)).round();
    [
        ("device", a.device.clone(), b.device.clone()),
        ("runtime", a.runtime.clone(), b.runtime.clone()),
        ("driver", a.driver.clone(), b.driver.clone()),
        ("system", a.system.clone(), b.system.clone()),
        ("cores", a.cores.to_string(), b.cores.to_string()),
        ("memory in GiB", gib(a).to_string(), gib(b).to_string()),
    ]
    .into_iter()
    .filter(|(_, a, b)| a != b)
    .map(|(what, a, b)| format!("The machines differ in {what}: {a} and {b}."))
    .collect()
}
