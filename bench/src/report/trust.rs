//! The parts of the document that say whether to believe it.

use super::machine::machine_lines;
use super::markdown::{against, setting_of};
use super::{bytes, cell, columns, error, line, percent, ratio, significant, summaries};
use crate::results::{CONTROL, Cache, Results, Row};
use std::fmt::Write;

pub(super) fn trust_section(out: &mut String, results: &Results) {
    out.push_str("## Whether to believe it\n\n");
    let timed = results.rows.iter().filter(|row| !row.is_control()).count();
    let _ = writeln!(
        out,
        "- {timed} rows were timed, each after its result had been held against the reference in f64, and again afterwards; {} got no time \
         and stand at the end with the reason.",
        results.refused.len()
    );
    let errors = results
        .rows
        .iter()
        .filter_map(|row| Some((row.error?, row)));
    if let Some((most, row)) = errors.max_by(|a, b| a.0.total_cmp(&b.0)) {
        let _ = writeln!(
            out,
            "- The largest error of any row is {} of what it may be: {} {} {}, {}. Beside every row of ours stands its own.",
            error(most),
            cell(&row.op),
            cell(&row.case),
            cell(&row.phase),
            cell(&row.variant)
        );
    }
    let unchecked = results
        .rows
        .iter()
        .filter_map(|row| Some((row.unchecked?, row)));
    let unchecked = unchecked.filter(|(share, _)| *share > 0.0);
    if let Some((most, row)) = unchecked.max_by(|a, b| a.0.total_cmp(&b.0)) {
        let _ = writeln!(
            out,
            "- Elements of a reference that have no one value admit anything. Most of them are in {} {} {}: {}.",
            cell(&row.op),
            cell(&row.case),
            cell(&row.phase),
            percent(most)
        );
    }
    for control in summaries(results)
        .iter()
        .filter(|row| row.op.is_none() && row.variant == CONTROL)
    {
        let _ = writeln!(
            out,
            "- Control ({}): ours against itself under another name reads {} in the mean of {} rows, {} to {}. It should read 1.00; what it \
             differs by is the noise of this run.",
            setting_of(control),
            ratio(control.mean),
            control.rows,
            ratio(control.lowest.ratio),
            ratio(control.highest.ratio)
        );
    }
    for line in machine_lines(results) {
        let _ = writeln!(out, "- {}", cell(&line));
    }
    out.push_str(
        "- Both sides of a ratio ran in turns, so that a drift of the machine meets both. Its interval of 95 % is Student's t over the pairs of \
         turns. FASTER, SLOWER: the whole interval says that the peer is behind, ahead, by more than 3 %; SAME: within 3 %; UNSURE: the \
         interval is too wide to tell.\n\
         - Hot: the operands were left in the caches by the call before. Cold: all cores wrote twice the last-level cache before \
         every call.\n\
         - The limit is the least time in which this device could move the needed bytes, do each kind of the needed arithmetic \
         (multiply-adds, exponentials, logarithms, divisions and roots, comparisons) and launch, by its own ceilings as measured in this \
         run: the longest of these, not their sum. The table gives the share of it that was reached, and what binds.\n\n",
    );
}

/// What each variant on our device holds and compiles, ours in the tables above; and the rows that were slowed down.
pub(super) fn variants_section(out: &mut String, results: &Results) {
    let hot = |row: &&Row| row.cache == Cache::Hot && row.peak_bytes.is_some();
    let others = results.rows.iter().filter(hot).filter(|row| row.is_peer());
    let mut others = others.peekable();
    if others.peek().is_some() {
        out.push_str("## Memory and compilation of other variants on this device\n\n");
        let names = [
            "operation",
            "case",
            "phase",
            "variant",
            "-peak",
            "-compiled, ms",
        ];
        columns(out, &names);
        for row in others {
            let mut cells = [&row.op, &row.case, &row.phase, &row.variant]
                .map(|text| cell(text))
                .to_vec();
            cells.push(row.peak_bytes.map(bytes).unwrap_or_default());
            cells.push(row.compile_ms.map(significant).unwrap_or_default());
            line(out, &cells);
        }
        out.push('\n');
    }
    let noted = results
        .rows
        .iter()
        .filter_map(|row| Some((row, row.note.as_ref()?)));
    let mut noted = noted.peekable();
    if noted.peek().is_some() {
        out.push_str("## Rows of a device that was slowed down\n\n");
        columns(
            out,
            &["operation", "case", "phase", "variant", "caches", "note"],
        );
        for (row, note) in noted {
            let cache = row.cache.to_string();
            let texts = [&row.op, &row.case, &row.phase, &row.variant, &cache, note];
            line(out, &texts.map(|text| cell(text)));
        }
        out.push('\n');
    }
}

pub(super) fn refused_section(out: &mut String, results: &Results) {
    if results.refused.is_empty() {
        return;
    }
    out.push_str("## Without a time\n\n");
    columns(out, &["operation", "case", "phase", "variant", "reason"]);
    for refused in &results.refused {
        let texts = [
            &refused.op,
            &refused.case,
            &refused.phase,
            &refused.variant,
            &refused.reason,
        ];
        line(out, &texts.map(|text| cell(text)));
    }
    out.push('\n');
}

pub(super) fn control_section(out: &mut String, results: &Results) {
    let mut controls = results
        .rows
        .iter()
        .filter(|row| row.is_control())
        .peekable();
    if controls.peek().is_none() {
        return;
    }
    out.push_str("## Control rows\n\nOurs against itself; a ratio other than 1.00 is noise.\n\n");
    columns(
        out,
        &["operation", "case", "phase", "caches, clock", "ratio"],
    );
    for row in controls {
        line(
            out,
            &[
                cell(&row.op),
                cell(&row.case),
                cell(&row.phase),
                format!("{}, {}", row.cache, cell(&row.clock)),
                against(row),
            ],
        );
    }
    out.push('\n');
}
