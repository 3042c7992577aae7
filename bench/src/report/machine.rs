//! What the machine did while rows were timed, and what variants took of it, in sentences.

use super::{bytes, significant};
use crate::results::{Results, Row};

/// One sentence each on memory, compilation, clock, load and energy, as far as the run knows them; on rows that were throttled; and on what the
/// machine does not show.
pub(super) fn machine_lines(results: &Results) -> Vec<String> {
    let rows = &results.rows;
    let mut lines = Vec::new();
    if let Some((peak, row)) = most(rows, |row| Some(row.peak_bytes? as f64)) {
        let (peak, name) = (bytes(peak as u64), name(row));
        lines.push(format!(
            "Memory: up to {peak} at once, operands included, in {name}."
        ));
    }
    if let Some((ms, row)) = most(rows, |row| row.compile_ms) {
        let (ms, name) = (significant(ms), name(row));
        lines.push(format!(
            "Compilation: a first call took up to {ms} ms longer than later ones, in {name}."
        ));
    }
    if let Some([low, _, high]) = spread(rows, |row| row.ghz) {
        let [low, high] = [low, high].map(|ghz| format!("{ghz:.2}"));
        let spread = if low == high {
            low
        } else {
            format!("{low} to {high}")
        };
        lines.push(format!("Clock: {spread} GHz."));
    }
    if let Some([_, middle, high]) = spread(rows, |row| row.load) {
        lines.push(format!(
            "Load: others kept {middle:.2} processors busy in the median, up to {high:.2}."
        ));
    }
    if let Some([low, _, high]) = spread(rows, |row| row.joules) {
        let [low, high] = [low, high].map(|joules| significant(1e3 * joules));
        lines.push(format!("Energy: {low} to {high} mJ a call."));
    }
    let throttled = rows.iter().filter(|row| row.note.is_some()).count();
    if throttled > 0 {
        lines.push(format!(
            "Throttled: {throttled} of {} rows; their notes say by what.",
            rows.len()
        ));
    }
    if !results.missing.is_empty() {
        lines.push(format!(
            "Not shown by this machine, and empty in all rows: {}.",
            results.missing.join(", ")
        ));
    }
    lines
}

/// The row with the most of something, ours under its own name.
fn most(rows: &[Row], of: impl Fn(&Row) -> Option<f64>) -> Option<(f64, &Row)> {
    let named = rows.iter().filter(|row| !row.is_control());
    let known = named.filter_map(|row| Some((of(row)?, row)));
    known.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// The least, the middle and the most of something.
fn spread(rows: &[Row], of: impl Fn(&Row) -> Option<f64>) -> Option<[f64; 3]> {
    let mut known: Vec<f64> = rows.iter().filter_map(of).collect();
    known.sort_by(f64::total_cmp);
    let last = known.len().checked_sub(1)?;
    Some([known[0], known[last / 2], known[last]])
}

fn name(row: &Row) -> String {
    let Row {
        op,
        case,
        phase,
        variant,
        ..
    } = row;
    format!("{op} {case} {phase}, {variant}")
}
