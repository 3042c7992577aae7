use crate::results::{Cache, Results, Row, Verdict};
use serde::Serialize;

/// What rows must share to be averaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// `wall` or `device`.
    pub clock: String,
    /// Whether the caches were flushed.
    pub cache: Cache,
}

/// One end of a range of ratios, and where it was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extreme {
    /// The variant's median over ours.
    pub ratio: f64,
    /// The operation.
    pub op: String,
    /// The problem.
    pub case: String,
    /// The phase.
    pub phase: String,
}

/// Ratios that a mean hides: how many rows reach each.
pub const FAST: [f64; 3] = [1.0, 1.5, 2.0];

/// How many rows got which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// We are faster.
    pub faster: usize,
    /// Within the noise.
    pub same: usize,
    /// Too wide an interval to tell.
    pub unsure: usize,
    /// The peer is faster.
    pub slower: usize,
}

/// The ratios of one variant to ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The operation; none where all are meant.
    pub op: Option<String>,
    /// The variant: a peer, or the control.
    pub variant: String,
    /// Clock and caches of the rows.
    #[serde(flatten)]
    pub setting: Setting,
    /// Rows with a ratio.
    pub rows: usize,
    /// The geometric mean of their ratios, each row with the same weight.
    pub mean: f64,
    /// The shares of rows where ours is at least so many times as fast as each of [`FAST`] says.
    pub fast: [f64; 3],
    /// The row where ours does worst.
    pub lowest: Extreme,
    /// The row where ours does best.
    pub highest: Extreme,
    /// Their verdicts.
    pub tally: Tally,
    /// Rows that the variant wins, see [`Row::lost`].
    pub lost: usize,
}

/// Clocks and caches that were measured, in the order of measuring.
pub fn settings(results: &Results) -> Vec<Setting> {
    distinct(results.rows.iter().map(|row| Setting {
        clock: row.clock.clone(),
        cache: row.cache,
    }))
}

/// The peers that were measured, in the order of measuring.
pub fn peers<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<&'a str> {
    let peers = rows.into_iter().filter(|row| row.is_peer());
    distinct(peers.map(|row| row.variant.as_str()))
}

/// The summary of every variant beside ours: for each setting first of all operations, then of each.
pub fn summaries(results: &Results) -> Vec<Summary> {
    let variants = distinct(
        results
            .rows
            .iter()
            .filter(|row| !row.is_ours())
            .map(|row| row.variant.as_str()),
    );
    let ops = distinct(results.rows.iter().map(|row| row.op.as_str()));
    let mut found = Vec::new();
    for setting in settings(results) {
        for op in [None].into_iter().chain(ops.iter().copied().map(Some)) {
            for variant in &variants {
                let rows = results.rows.iter().filter(|row| {
                    row.variant == *variant
                        && row.clock == setting.clock
                        && row.cache == setting.cache
                        && op.is_none_or(|op| row.op == op)
                });
                found.extend(summary(op, variant, &setting, rows));
            }
        }
    }
    found
}

/// None where no row has a ratio.
fn summary<'a>(
    op: Option<&str>,
    variant: &str,
    setting: &Setting,
    rows: impl Iterator<Item = &'a Row>,
) -> Option<Summary> {
    let mut ratios: Vec<(f64, &Row)> = rows
        .filter_map(|row| Some((row.ratio.filter(|ratio| *ratio > 0.0)?, row)))
        .collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (lowest, highest) = (ratios.first()?, ratios.last()?);
    let mut tally = Tally::default();
    for (_, row) in &ratios {
        match row.verdict {
            Some(Verdict::Faster) => tally.faster += 1,
            Some(Verdict::Same) => tally.same += 1,
            Some(Verdict::Unsure) => tally.unsure += 1,
            Some(Verdict::Slower) => tally.slower += 1,
            None => {}
        }
    }
    Some(Summary {
        op: op.map(Into::into),
        variant: variant.into(),
        setting: setting.clone(),
        rows: ratios.len(),
        mean: geometric_mean(ratios.iter().map(|(ratio, _)| *ratio)),
        fast: FAST.map(|least| {
            let reached = ratios.iter().filter(|(ratio, _)| *ratio >= least).count();
            reached as f64 / ratios.len() as f64
        }),
        lowest: extreme(lowest),
        highest: extreme(highest),
        tally,
        lost: ratios.iter().filter(|(_, row)| row.lost()).count(),
    })
}

fn extreme(&(ratio, row): &(f64, &Row)) -> Extreme {
    Extreme {
        ratio,
        op: row.op.clone(),
        case: row.case.clone(),
        phase: row.phase.clone(),
    }
}

/// NaN of no values.
pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| {
        (sum + value.ln(), count + 1.0)
    });
    (sum / count).exp()
}

/// Each value once, in the order of its first appearance.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut seen, value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
        seen
    })
}
