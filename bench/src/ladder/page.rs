//! The tables of ladders as a document.

use super::{Ladder, Rung};
use crate::report::{bytes, cell, columns, error, facts, line, percent, ratio, significant};
use crate::results::{Cache, Refused, Results, Row};
use crate::stats::Ratio;
use std::fmt::Write;

/// The run as a page: what was measured where, how, and its tables.
pub fn markdown(ladders: &[Ladder], results: &Results) -> String {
    let mut out = format!("# Ladders: {}\n\n", cell(&results.machine.device));
    facts(&mut out, results);
    out.push_str(
        "This page is written by its command. [The ladder](../ladder.md) goes through the kernels with the reasons of each. Every rung is verified \
         against the f64 reference before it is timed and again afterwards, and the rungs take turns, so that a gain is a ratio of times of one \
         run; [the bench](../bench.md) says how. Times are medians of calls whose operands the call before has left in the caches, f32. A gain is \
         the time of the rung before, or of the first, over this rung's: above 1 it is faster. Beside it stands its interval of 95 %. GB/s counts \
         the bytes that have to be read and written, and no scratch. The limit is the least time in which this device could move them, or do the \
         multiply-adds, or make one launch, measured in this run. Errors are the largest of an element, in units of what it may be off. A rung that \
         is wrong is refused, and gets no time.\n\n",
    );
    out + &tables(ladders, results)
}

/// The tables alone.
pub fn tables(ladders: &[Ladder], results: &Results) -> String {
    let mut out = String::new();
    for ladder in ladders {
        let _ = writeln!(out, "## {}: {}\n", ladder.name, ladder.computes);
        let named = |op: &str| op == ladder.name;
        let rows = results.rows.iter().filter(|row| named(&row.op));
        let refused = results.refused.iter().filter(|it| named(&it.op));
        let mut cases: Vec<&str> = Vec::new();
        for case in rows
            .map(|row| &row.case)
            .chain(refused.map(|refused| &refused.case))
        {
            if !cases.contains(&case.as_str()) {
                cases.push(case);
            }
        }
        for case in cases {
            let problem = Problem {
                ladder,
                results,
                case,
            };
            problem.write(&mut out);
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// A ladder's rows of one problem.
struct Problem<'a> {
    ladder: &'a Ladder,
    results: &'a Results,
    case: &'a str,
}

impl<'a> Problem<'a> {
    fn row(&self, variant: &str) -> Option<&'a Row> {
        self.results.rows.iter().find(|row| {
            (row.op.as_str(), row.case.as_str()) == (self.ladder.name, self.case)
                && (row.variant.as_str(), row.cache) == (variant, Cache::Hot)
        })
    }

    fn refused(&self) -> impl Iterator<Item = &'a Refused> {
        let of = (self.ladder.name, self.case);
        let refused = self.results.refused.iter();
        refused.filter(move |it| (it.op.as_str(), it.case.as_str()) == of)
    }

    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "### {}\n", self.case);
        let rungs = &self.ladder.rungs;
        let rows: Vec<Option<&Row>> = rungs.iter().map(|rung| self.row(rung.name)).collect();
        if let Some(row) = rows.iter().flatten().next() {
            let moved = row.gb_s * row.median_ms * 1e6;
            let limit = row
                .roofline
                .zip(row.bound)
                .map_or(String::new(), |(share, bound)| {
                    let ms = significant(share * row.median_ms);
                    format!("; the limit is {ms} ms, by {bound}")
                });
            let _ = writeln!(
                out,
                "{} to be read and written{limit}.\n",
                bytes(moved as u64)
            );
        }
        let multiplies = rows.iter().flatten().any(|row| row.gflop_s > 0.0);
        let mut names = vec!["rung", "what changed", "-ms", "-GB/s"];
        names.extend(multiplies.then_some("-GFLOP/s"));
        names.extend(["-of the limit", "-gain on the one before", "-95 %"]);
        names.extend(["-gain on the first", "-95 %", "-launches", "-error"]);
        columns(out, &names);
        for (i, (rung, row)) in rungs.iter().zip(&rows).enumerate() {
            let before = i.checked_sub(1).and_then(|i| rows[i]);
            let first = rows[0].filter(|_| i > 0);
            line(out, &cells(i, rung, *row, [before, first], multiplies));
        }
        out.push('\n');
        let ours = rungs.last().map_or("", |rung| rung.name);
        if let Some(control) = self.row("control")
            && let Some(ours) = self.row(ours)
            && let Some(noise) = control.gain(ours)
        {
            let _ = writeln!(
                out,
                "The last rung once more, under another name: {} ({}), the noise of this run.\n",
                ratio(noise.value),
                interval(&noise)
            );
        }
        for refused in self.refused() {
            let _ = writeln!(
                out,
                "- {} is refused: {}\n",
                cell(&refused.variant),
                cell(&refused.reason)
            );
        }
    }
}

fn cells(
    i: usize,
    rung: &Rung,
    row: Option<&Row>,
    others: [Option<&Row>; 2],
    multiplies: bool,
) -> Vec<String> {
    let mut cells = vec![format!("{} {}", i + 1, cell(rung.name)), cell(rung.change)];
    let Some(row) = row else {
        let blanks = 8 + usize::from(multiplies);
        cells.push("**refused**".into());
        cells.extend(vec![String::new(); blanks - 1]);
        return cells;
    };
    cells.extend([significant(row.median_ms), significant(row.gb_s)]);
    cells.extend(multiplies.then(|| significant(row.gflop_s)));
    cells.push(row.roofline.map_or(String::new(), percent));
    for other in others {
        let gain = other.and_then(|other| row.gain(other));
        cells.extend(match gain {
            Some(gain) => [format!("**{}**", ratio(gain.value)), interval(&gain)],
            None => [String::new(), String::new()],
        });
    }
    cells.push(row.launches.map_or(String::new(), |it| it.to_string()));
    cells.push(row.error.map_or(String::new(), error));
    cells
}

fn interval(ratio_of: &Ratio) -> String {
    format!("{} to {}", ratio(ratio_of.low), ratio(ratio_of.high))
}
