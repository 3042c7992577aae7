//! The tables of ladders, as a document and for the terminal.

use super::Ladder;
use crate::report::{bytes, cell, columns, error, facts, line, percent, ratio, significant};
use crate::results::{CONTROL, Cache, Refused, Results, Row};
use crate::stats::Ratio;
use std::fmt::Write;

/// The run as a page: what was measured where, how, and its tables.
pub fn markdown(ladders: &[Ladder], results: &Results) -> String {
    let mut out = format!("# Ladders: {}\n\n", cell(&results.machine.device));
    facts(&mut out, results);
    out.push_str(
        "This page is written by its command. [The ladder](../ladder.md) goes through the kernels and says why each was tried. Every rung is verified \
         against the f64 reference before it is timed and again afterwards, and the rungs take turns, so that a gain is a ratio of times of one \
         run; [the bench](../bench.md) says how. Times are medians of calls whose operands the call before has left in the caches, f32. **Gain** is \
         the time of the rung before over this rung's, **in all** the time of the first, each with its interval of 95 %: above 1 it is faster. GB/s \
         counts the bytes that have to be read and written, and no scratch. The limit is the longest of the times that this device needs at \
         least to move them, for each kind of arithmetic, and for one launch, measured in this run. The error is the largest of an element, in units of what it may be off. A \
         rung that is wrong is refused, and gets no time.\n\n",
    );
    for ladder in ladders {
        let _ = writeln!(out, "## {}: {}\n", ladder.name, ladder.computes);
        for problem in problems(ladder, results) {
            let _ = writeln!(out, "### {}\n", problem.case);
            let (mut names, rows) = problem.table();
            // What a rung is stands before what it came to.
            names.rotate_right(1);
            names.swap(0, 1);
            columns(&mut out, &names);
            for mut cells in rows {
                cells.rotate_right(1);
                cells.swap(0, 1);
                line(&mut out, &cells);
            }
            for note in problem.notes() {
                let _ = writeln!(out, "\n{}", cell(&note));
            }
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// The tables alone, their columns one under the other.
pub fn tables(ladders: &[Ladder], results: &Results) -> String {
    let mut out = String::new();
    for ladder in ladders {
        for problem in problems(ladder, results) {
            let _ = writeln!(out, "{} {}", ladder.name, problem.case);
            let (names, rows) = problem.table();
            let heads = names.iter().map(|name| name.trim_start_matches('-').into());
            let mut lines: Vec<Vec<String>> = vec![heads.collect()];
            lines.extend(rows);
            let widths: Vec<usize> = (0..names.len())
                .map(|i| lines.iter().map(|cells| cells[i].len()).max().unwrap_or(0))
                .collect();
            for cells in &lines {
                let padded = cells.iter().zip(&names).zip(&widths);
                let padded = padded.map(|((cell, name), &width)| match name.starts_with('-') {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:width$}"),
                });
                let text = padded.collect::<Vec<_>>().join("  ");
                let _ = writeln!(out, "{}", text.trim_end());
            }
            for note in problem.notes() {
                let _ = writeln!(out, "{note}");
            }
            out.push('\n');
        }
    }
    out
}

/// A ladder's rows of one problem.
struct Problem<'a> {
    ladder: &'a Ladder,
    results: &'a Results,
    case: &'a str,
}

/// Those of a run, in the order of measuring.
fn problems<'a>(ladder: &'a Ladder, results: &'a Results) -> Vec<Problem<'a>> {
    let rows = results.rows.iter().map(|row| (&row.op, &row.case));
    let refused = results.refused.iter().map(|it| (&it.op, &it.case));
    let mut cases: Vec<&str> = Vec::new();
    for (op, case) in rows.chain(refused) {
        if op == ladder.name && !cases.contains(&case.as_str()) {
            cases.push(case);
        }
    }
    let of = |case| Problem {
        ladder,
        results,
        case,
    };
    cases.into_iter().map(of).collect()
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

    /// The columns' names, `-` before those of numbers, and a line for each rung.
    fn table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let rungs = &self.ladder.rungs;
        let rows: Vec<Option<&Row>> = rungs.iter().map(|rung| self.row(rung.name)).collect();
        let multiplies = rows.iter().flatten().any(|row| row.gflop_s > 0.0);
        let mut names = vec!["rung", "-ms", "-GB/s"];
        names.extend(multiplies.then_some("-GFLOP/s"));
        names.extend(["-of the limit", "-gain", "-95 %", "-in all", "-95 %"]);
        names.extend(["-launches", "-error", "what changed"]);
        let lines = rungs.iter().zip(&rows).enumerate().map(|(i, (rung, row))| {
            let before = i.checked_sub(1).and_then(|i| rows[i]);
            let first = rows[0].filter(|_| i > 0);
            let mut cells = vec![format!("{} {}", i + 1, rung.name)];
            match row {
                Some(row) => cells.extend(figures(row, [before, first], multiplies)),
                None => cells.push("refused".into()),
            }
            cells.resize(names.len() - 1, String::new());
            cells.push(rung.change.into());
            cells
        });
        let lines = lines.collect();
        (names, lines)
    }

    /// What the limit is, what noise the run had, and what was refused.
    fn notes(&self) -> Vec<String> {
        let ours = self
            .ladder
            .rungs
            .last()
            .and_then(|rung| self.row(rung.name));
        let mut notes = Vec::new();
        if let Some(row) = ours
            && let Some((share, bound)) = row.roofline.zip(row.bound)
        {
            let moved = bytes((row.gb_s * row.median_ms * 1e6) as u64);
            let ms = significant(share * row.median_ms);
            notes.push(format!(
                "The limit is {ms} ms, by {bound}; {moved} are read and written."
            ));
        }
        let control = self.row(CONTROL);
        if let Some(noise) = control.zip(ours).and_then(|(again, row)| again.gain(row)) {
            let (value, within) = (ratio(noise.value), interval(&noise));
            notes.push(format!(
                "The last rung once more, under another name: {value} ({within}), the noise of this run."
            ));
        }
        let refused = self.refused();
        notes.extend(refused.map(|it| format!("{} is refused: {}", it.variant, it.reason)));
        notes
    }
}

/// What a rung's row came to, beside the rung before and the first.
fn figures(row: &Row, others: [Option<&Row>; 2], multiplies: bool) -> Vec<String> {
    let mut cells = vec![significant(row.median_ms), significant(row.gb_s)];
    cells.extend(multiplies.then(|| significant(row.gflop_s)));
    cells.push(row.roofline.map_or(String::new(), percent));
    for other in others {
        cells.extend(match other.and_then(|other| row.gain(other)) {
            Some(gain) => [ratio(gain.value), interval(&gain)],
            None => [String::new(), String::new()],
        });
    }
    cells.push(row.launches.map_or(String::new(), |it| it.to_string()));
    cells.push(row.error.map_or(String::new(), error));
    cells
}

fn interval(gain: &Ratio) -> String {
    format!("{} to {}", ratio(gain.low), ratio(gain.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Ceilings, FORMAT, Machine};

    fn row(variant: &str, ms: f64) -> Row {
        Row {
            op: "dkd".into(),
            case: "4096x100".into(),
            phase: "loss+grad".into(),
            variant: variant.into(),
            clock: "wall".into(),
            cache: Cache::Hot,
            median_ms: ms,
            low_ms: ms,
            high_ms: ms,
            calls: 21,
            turns_ms: vec![ms; 3],
            ratio: None,
            ratio_low: None,
            ratio_high: None,
            verdict: None,
            roofline: Some(0.1 / ms),
            bound: Some(crate::results::Bound::Memory),
            gb_s: 5.0 / ms,
            gflop_s: 0.0,
            intensity: 0.0,
            error: Some(0.25),
            unchecked: Some(0.0),
            digest: None,
            launches: Some(1),
            allocations: None,
            looks: 1,
            peak_bytes: None,
            compile_ms: None,
            ghz: None,
            load: None,
            joules: None,
            note: None,
            sweep: None,
            layers: Vec::new(),
        }
    }

    /// A run in which `wrong` was refused.
    fn run(wrong: Option<&str>) -> (Vec<Ladder>, Results) {
        let ladders = Ladder::named(&["dkd".into()]).expect("it is one");
        let names = ladders[0].rungs.iter().map(|rung| rung.name);
        let timed = names.enumerate().filter(|(_, name)| Some(*name) != wrong);
        let mut rows: Vec<Row> = timed
            .map(|(i, name)| row(name, 64.0 / f64::from(1 << i)))
            .collect();
        rows.push(row(CONTROL, 1.0));
        let refused = wrong.map(|rung| Refused {
            op: "dkd".into(),
            case: "4096x100".into(),
            phase: "loss+grad".into(),
            variant: rung.into(),
            reason: "output 1 differs".into(),
        });
        let results = Results {
            format: FORMAT,
            machine: Machine::default(),
            versions: Default::default(),
            commit: String::new(),
            began: String::new(),
            seconds: 1.0,
            command: "cargo xtask bench ladder dkd".into(),
            ceilings: Ceilings::default(),
            missing: Vec::new(),
            rows,
            refused: refused.into_iter().collect(),
        };
        (ladders, results)
    }

    #[test]
    fn a_rung_stands_beside_the_one_before_and_the_first() {
        let (ladders, results) = run(None);
        let page = markdown(&ladders, &results);
        for wanted in [
            "- command: `cargo xtask bench ladder dkd`",
            "| rung | what changed | ms | GB/s | of the limit | gain | 95 % | in all | 95 % | launches | error |",
            "| 16.0 | 0.312 | 0.6 % | 2.00 | 2.00 to 2.00 | 4.00 | 4.00 to 4.00 | 1 | 0.25 |",
            "under another name: 1.00 (1.00 to 1.00), the noise",
            "The limit is 0.100 ms, by memory",
        ] {
            assert!(page.contains(wanted), "no {wanted} in\n{page}");
        }
        let first = page.lines().find(|line| line.starts_with("| 1 composed |"));
        let first = first.expect("the first rung has a row");
        assert!(
            first.ends_with("| 64.0 | 0.0781 | 0.2 % |  |  |  |  | 1 | 0.25 |"),
            "{first}"
        );
    }

    #[test]
    fn a_refused_rung_has_no_figure_and_nobody_is_held_against_it() {
        let (ladders, results) = run(Some("online"));
        for text in [markdown(&ladders, &results), tables(&ladders, &results)] {
            let row = |name: &str| {
                let found = text.lines().find(|line| line.contains(name));
                found.expect("a row").to_string()
            };
            assert!(row("3 online").contains("refused"), "{text}");
            assert!(!row("3 online").contains("16.0"), "{text}");
            // The rung after it has a gain on the first alone.
            assert!(row("4 sums").contains("8.00 to 8.00"), "{text}");
            assert!(!row("4 sums").contains("2.00"), "{text}");
            assert!(
                text.contains("online is refused: output 1 differs"),
                "{text}"
            );
        }
    }
}
