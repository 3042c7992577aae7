//! Two runs of the bench, row by row: what became faster, what slower, and what cannot be told.
//!
//! Ours is held against ours: the ratio is `a`'s median over `b`'s, so that above 1 `b` is faster. The two were not measured in turns, so
//! a ratio means less here than within one run, and three things guard against reading too much into it:
//!
//! - *The interval of the ratio*, from the spreads. A run keeps percentiles, not calls: from the 10th to the 90th lie 2.56 standard
//!   deviations of normally distributed logarithms, a median's standard error is 1.25 deviations over the root of the calls, and both
//!   runs' errors add in squares; 1.96 of the sum is the interval of 95 %. Calls in a row share what the machine was just doing, so
//!   more than [`INDEPENDENT`] of them do not narrow it.
//! - *The noise*: [`NOISE`], or what nine of ten control rows of both runs stay within, whichever is more; with flushed caches, of the
//!   control rows with flushed caches.
//! - *The drift*: how much the peers' times changed, whose code is the same in both. It is told, and never corrected for.
//!
//! FASTER: the whole interval lies above the noise. SLOWER: below. SAME: within. UNSURE: anything else.

mod show;

use crate::report::{geometric_mean, peers};
use crate::results::{Cache, Machine, OURS, Results, Row, Verdict};

/// A run against the next of the same build differs by this much without any reason.
pub const NOISE: f64 = 0.05;

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
    /// What it says of `b`.
    pub verdict: Verdict,
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
    fn of(a: &Results, b: &Results) -> Self {
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
    /// Whether both ran on the same machine by the same clock; where not, nothing counts as a failure.
    pub comparable: bool,
    /// Differences up to this are noise.
    pub noise: Noise,
    /// The geometric mean of the peers' ratios, and of how many rows: what changed although its code did not.
    pub drift: Option<(f64, usize)>,
    /// Rows of both, in the order of `a`.
    pub changes: Vec<Change>,
    /// Rows of `a` that `b` lacks.
    pub only_a: Vec<Key>,
    /// Rows of `b` that `a` lacks.
    pub only_b: Vec<Key>,
}

impl Comparison {
    /// Whether a row of `b` is slower, on the same machine by the same clock.
    pub fn regressed(&self) -> bool {
        self.comparable && self.count(Verdict::Slower) > 0
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
    let changes = mine
        .iter()
        .filter_map(|row| Some(change(row, beside(&theirs, row)?, noise.with(row.cache))))
        .collect();
    let drift = drift(a, b);
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
        warnings.push("Nothing below counts as a failure.".into());
    }
    if let Some((ratio, count)) = drift.filter(|(ratio, _)| ratio.ln().abs() > noise.hot.ln_1p()) {
        warnings.push(format!(
            "The peers, whose code is the same, changed too: a ratio of {ratio:.2} in the mean of {count} rows. The machine was not the same."
        ));
    }
    Comparison {
        warnings,
        comparable,
        noise,
        drift,
        changes,
        only_a: missing(&mine, &theirs),
        only_b: missing(&theirs, &mine),
    }
}

fn rows<'a>(results: &'a Results, variant: &str) -> Vec<&'a Row> {
    let rows = results.rows.iter();
    rows.filter(|row| row.variant == variant).collect()
}

fn key(row: &Row) -> Key {
    Key {
        op: row.op.clone(),
        case: row.case.clone(),
        phase: row.phase.clone(),
        cache: row.cache,
        clock: row.clock.clone(),
    }
}

fn beside<'a>(rows: &[&'a Row], row: &Row) -> Option<&'a Row> {
    rows.iter().copied().find(|other| other.is_beside(row))
}

fn missing(from: &[&Row], to: &[&Row]) -> Vec<Key> {
    let alone = from.iter().filter(|row| beside(to, row).is_none());
    alone.map(|row| key(row)).collect()
}

fn change(a: &Row, b: &Row, noise: f64) -> Change {
    let ratio = a.median_ms / b.median_ms;
    let interval = error(a).zip(error(b)).map(|(x, y)| {
        let half = 1.96 * x.hypot(y);
        [ratio * (-half).exp(), ratio * half.exp()]
    });
    Change {
        key: key(a),
        ms: [a.median_ms, b.median_ms],
        ratio,
        interval,
        verdict: interval.map_or(Verdict::Unsure, |interval| verdict(interval, noise)),
    }
}

/// The standard error of the logarithm of a row's median; none where its percentiles cannot be true.
fn error(row: &Row) -> Option<f64> {
    let possible = row.low_ms > 0.0 && row.high_ms >= row.low_ms && row.median_ms > 0.0;
    let deviation = (row.high_ms / row.low_ms).ln() / 2.563;
    let calls = row.calls.clamp(1, INDEPENDENT) as f64;
    possible.then(|| 1.253 * deviation / calls.sqrt())
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

/// Peers of one version in both runs only: another version may well be faster.
fn drift(a: &Results, b: &Results) -> Option<(f64, usize)> {
    let mut ratios = Vec::new();
    for peer in peers(&a.rows) {
        if a.versions.get(peer) != b.versions.get(peer) {
            continue;
        }
        let theirs = rows(b, peer);
        ratios.extend(
            rows(a, peer)
                .iter()
                .filter_map(|row| Some(row.median_ms / beside(&theirs, row)?.median_ms))
                .filter(|ratio| ratio.is_finite() && *ratio > 0.0),
        );
    }
    (!ratios.is_empty()).then(|| (geometric_mean(ratios.iter().copied()), ratios.len()))
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
