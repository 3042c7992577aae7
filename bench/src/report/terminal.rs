use super::machine::machine_lines;
use super::summary::distinct;
use super::{bytes, error, peers, percent, ratio, settings, significant, summaries};
use crate::results::{Bound, CONTROL, Cache, Results, Row};
use std::fmt::Write;

const WIDTH: usize = 120;
const PEER: usize = 13;
/// The longest of [`Bound::short`].
const BOUND: usize = 7;
const LONGEST_PHASE: usize = 24;
/// Of peak memory, and of the time that a first call compiled.
const SIZE: usize = 8;
/// More stand in a table of their own, so that a case keeps room for its name.
const PEERS_A_TABLE: usize = 3;

/// A table of every measured row, at most 120 columns wide, and under it what it comes to.
pub fn terminal(results: &Results) -> String {
    let mut out = String::new();
    let peers = peers(&results.rows);
    let tables: Vec<&[&str]> = if peers.is_empty() {
        vec![&[]]
    } else {
        peers.chunks(PEERS_A_TABLE).collect()
    };
    for op in distinct(results.rows.iter().map(|row| row.op.as_str())) {
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.op == op).collect();
        for peers in &tables {
            table(&mut out, op, &rows, peers);
        }
    }
    totals(&mut out, results);
    out
}

fn table(out: &mut String, op: &str, rows: &[&Row], peers: &[&str]) {
    let ours = || rows.iter().copied().filter(|row| row.is_ours());
    let both_caches = distinct(rows.iter().map(|row| row.cache)).len() > 1;
    let both_clocks = distinct(rows.iter().map(|row| row.clock.as_str())).len() > 1;
    let mark = |row: &Row| {
        let cache = both_caches && row.cache == Cache::Cold;
        let clock = both_clocks.then(|| format!(" {}", row.clock));
        format!(
            "{}{}{}",
            row.phase,
            if cache { " cold" } else { "" },
            clock.unwrap_or_default()
        )
    };
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let phase = longest(&mut ours().map(|row| mark(row).chars().count())).clamp(5, LONGEST_PHASE);
    let fixed = 2 + phase + 2 + 9 + 2 + 6 + 1 + BOUND + 2 + 5 + peers.len() * (2 + PEER);
    let cases = longest(&mut ours().map(|row| row.case.chars().count()));
    let name = cases.max(op.chars().count()).min(WIDTH - fixed);
    // Where cases and peers leave room; the page and the spreadsheet have them always.
    let with_sizes = name + fixed + 2 * (2 + SIZE) <= WIDTH;
    let sizes = |peak: &str, compile: &str| match with_sizes {
        true => format!("  {peak:>SIZE$}  {compile:>SIZE$}"),
        false => String::new(),
    };
    let mut line = format!(
        "{:name$}  {:phase$}  {:>9}  {:>6} {:BOUND$}  {:>5}",
        fit(op, name),
        "phase",
        "ours, ms",
        "limit",
        "by",
        "error"
    );
    line += &sizes("peak", "compile");
    for peer in peers {
        let _ = write!(line, "  {:PEER$}", fit(peer, PEER));
    }
    let _ = writeln!(out, "{}", line.trim_end());
    for row in ours() {
        let mut line = format!(
            "{:name$}  {:phase$}  {:>9}  {:>6} {:BOUND$}  {:>5}",
            fit(&row.case, name),
            fit(&mark(row), phase),
            significant(row.median_ms),
            row.roofline.map(percent).unwrap_or_default(),
            row.bound.map(Bound::short).unwrap_or_default(),
            row.error.map(error).unwrap_or_default()
        );
        let compile = row.compile_ms.map(|ms| format!("{ms:.0} ms"));
        line += &sizes(
            &row.peak_bytes.map(bytes).unwrap_or_default(),
            &compile.unwrap_or_default(),
        );
        for peer in peers {
            let beside = rows
                .iter()
                .find(|other| other.variant == *peer && other.is_beside(row));
            let text = beside.map(|row| against(row)).unwrap_or_default();
            let _ = write!(line, "  {text:PEER$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
        let beside = rows.iter().filter(|other| other.is_beside(row));
        let shown = beside.filter(|row| row.is_ours() || peers.contains(&row.variant.as_str()));
        for noted in shown {
            if let Some(note) = &noted.note {
                let _ = writeln!(
                    out,
                    "{}",
                    fit(&format!("  {}: {note}", noted.variant), WIDTH)
                );
            }
        }
    }
    out.push('\n');
}

fn against(row: &Row) -> String {
    let value = row.ratio.map(ratio).unwrap_or_default();
    let verdict = row.verdict.map(|verdict| verdict.to_string());
    format!("{value:>5} {}", verdict.unwrap_or_default())
}

fn totals(out: &mut String, results: &Results) {
    let several = settings(results).len() > 1;
    for all in summaries(results).iter().filter(|all| all.op.is_none()) {
        let setting = if several {
            format!(" ({}, {})", all.setting.cache, all.setting.clock)
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "{}",
            fit(
                &format!(
                    "{}{setting}: {} in the geometric mean of {} rows, {} to {}, {} lost",
                    all.variant,
                    ratio(all.mean),
                    all.rows,
                    ratio(all.lowest.ratio),
                    ratio(all.highest.ratio),
                    all.lost
                ),
                WIDTH
            )
        );
        if all.variant != CONTROL {
            let [one, half_more, twice] = all.fast.map(percent);
            let text = format!(
                "  fast: {one} of them at least 1, {half_more} at least 1.5, {twice} at least 2 times"
            );
            let _ = writeln!(out, "{text}");
        }
    }
    let unchecked = results
        .rows
        .iter()
        .filter_map(|row| Some((row.unchecked?, row)));
    let unchecked = unchecked.filter(|(share, _)| *share > 0.0);
    if let Some((most, row)) = unchecked.max_by(|a, b| a.0.total_cmp(&b.0)) {
        let at = format!("{} {} {}", row.op, row.case, row.phase);
        let text = format!(
            "unchecked: up to {} of a reference has no one value, in {at}",
            percent(most)
        );
        let _ = writeln!(out, "{}", fit(&text, WIDTH));
    }
    for line in machine_lines(results) {
        let _ = writeln!(out, "{}", fit(&line, WIDTH));
    }
    for refused in &results.refused {
        let line = format!(
            "refused: {} {} {} {}: {}",
            refused.op, refused.case, refused.phase, refused.variant, refused.reason
        );
        let _ = writeln!(out, "{}", fit(&line, WIDTH));
    }
    out.push_str(
        "Limit: the share that ours reaches of what this device could do at best, by the ceiling that binds.\n\
         Ratios are the other's time over ours: above 1, ours is faster. Errors are in units of what they may be.\n",
    );
}

/// `text` in at most `width` characters and on one line.
fn fit(text: &str, width: usize) -> String {
    let text = text.replace(char::is_control, " ");
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}
