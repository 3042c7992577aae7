use super::{Change, Comparison, Fault, Key};
use crate::report::{cell, columns, error, line, ratio, significant};
use crate::results::Verdict;
use std::fmt::{Display, Formatter, Result, Write};

/// For the terminal: what changed, the worst first; rows of the same time and the same bits are counted only.
impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter) -> Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for change in self.sorted() {
            if change.verdict != Verdict::Same || change.same_bits == Some(false) {
                let peers = change
                    .peers
                    .map(|peers| format!("; peers {}", ratio(peers)));
                writeln!(
                    f,
                    "{:7} {:>5} {:16} {:>9} -> {:>9} ms  {}{}{}",
                    change.verdict,
                    ratio(change.ratio),
                    interval(change),
                    significant(change.ms[0]),
                    significant(change.ms[1]),
                    change.key,
                    bits(change).map_or(String::new(), |bits| format!("; {bits}")),
                    peers.unwrap_or_default()
                )?;
            }
        }
        for refused in &self.refused {
            writeln!(f, "{}", Fault::Refused(refused.clone()))?;
        }
        for (rows, which) in [(&self.only_a, "first"), (&self.only_b, "second")] {
            for key in rows {
                writeln!(f, "only in the {which}: {key}")?;
            }
        }
        writeln!(f, "{}", self.total())
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter) -> Result {
        write!(
            f,
            "{} {} {} ({}, {})",
            self.op, self.case, self.phase, self.cache, self.clock
        )
    }
}

impl Comparison {
    /// As a document: every row of both, the worst first.
    pub fn markdown(&self) -> String {
        let mut out = String::from("# Comparison\n\n");
        for warning in &self.warnings {
            let _ = writeln!(out, "> **Warning.** {}\n", cell(warning));
        }
        let _ = writeln!(
            out,
            "A ratio is the first run's median over the second's: above 1, the second is faster. Beside it stands the same ratio of the peers, \
             whose code did not change. {}\n",
            self.total()
        );
        columns(
            &mut out,
            &[
                "verdict",
                "-ratio",
                "interval",
                "-first, ms",
                "-second, ms",
                "-peers",
                "bits",
                "row",
            ],
        );
        for change in self.sorted() {
            let slower = change.verdict == Verdict::Slower;
            let mark = if slower { "**" } else { "" };
            line(
                &mut out,
                &[
                    format!("{mark}{}{mark}", change.verdict),
                    format!("{mark}{}{mark}", ratio(change.ratio)),
                    interval(change),
                    significant(change.ms[0]),
                    significant(change.ms[1]),
                    change.peers.map(ratio).unwrap_or_default(),
                    bits(change).unwrap_or_default(),
                    format!("{mark}{}{mark}", cell(&change.key.to_string())),
                ],
            );
        }
        if !self.refused.is_empty() {
            out.push_str("\n## Refused in the second\n\n");
        }
        for refused in &self.refused {
            let _ = writeln!(
                out,
                "- {}",
                cell(&Fault::Refused(refused.clone()).to_string())
            );
        }
        for (rows, which) in [(&self.only_a, "first"), (&self.only_b, "second")] {
            if !rows.is_empty() {
                let _ = writeln!(out, "\n## Only in the {which}\n");
            }
            for key in rows {
                let _ = writeln!(out, "- {}", cell(&key.to_string()));
            }
        }
        out
    }

    fn sorted(&self) -> Vec<&Change> {
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        changes.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        changes
    }

    fn total(&self) -> String {
        let drift: Vec<String> = self
            .drift
            .iter()
            .map(|drift| {
                let (mean, rows, cache) = (ratio(drift.ratio), drift.rows, drift.cache);
                format!(" The peers' own ratio is {mean} in the mean of {rows} {cache} rows.")
            })
            .collect();
        format!(
            "{} rows in both: {} slower, {} faster, {} the same within {:.0} % ({:.0} % with flushed caches), {} unsure; {} with other bits.{}",
            self.changes.len(),
            self.count(Verdict::Slower),
            self.count(Verdict::Faster),
            self.count(Verdict::Same),
            100.0 * self.noise.hot,
            100.0 * self.noise.cold,
            self.count(Verdict::Unsure),
            self.other_bits(),
            drift.concat()
        )
    }
}

/// "same bits", or "other bits" and how the error moved.
fn bits(change: &Change) -> Option<String> {
    Some(match (change.same_bits?, change.errors) {
        (true, _) => "same bits".into(),
        (false, [Some(before), Some(after)]) => {
            format!("other bits, error {} -> {}", error(before), error(after))
        }
        (false, _) => "other bits".into(),
    })
}

fn interval(change: &Change) -> String {
    change.interval.map_or("".into(), |[low, high]| {
        format!("({} to {})", ratio(low), ratio(high))
    })
}
