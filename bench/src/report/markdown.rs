use super::summary::{Summary, distinct};
use super::trust::{control_section, refused_section, trust_section, variants_section};
use super::{bytes, error, network_sums, peers, percent, ratio, settings, significant, summaries};
use crate::results::{Bandwidth, CONTROL, OURS, Results, Row};
use std::fmt::Write;

/// The run as a document: what was measured where, what it comes to, and every row of it.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    head(&mut out, results);
    summary_section(&mut out, results);
    networks_section(&mut out, results);
    trust_section(&mut out, results);
    ceilings_section(&mut out, results);
    for op in distinct(results.rows.iter().map(|row| row.op.as_str())) {
        op_section(&mut out, results, op);
    }
    variants_section(&mut out, results);
    refused_section(&mut out, results);
    control_section(&mut out, results);
    out
}

/// `text` for a cell of a table: names come from files that anyone may write.
pub(crate) fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '*' | '`' | '[' | '\\' => safe.extend(['\\', character]),
            character if character.is_control() => safe.push(' '),
            character => safe.push(character),
        }
    }
    safe
}

/// A table's head: `-` before a column's name puts its numbers to the right.
pub(crate) fn columns(out: &mut String, names: &[&str]) {
    let shown = names.iter().map(|name| name.trim_start_matches('-'));
    let _ = writeln!(out, "| {} |", shown.collect::<Vec<_>>().join(" | "));
    let rules = names
        .iter()
        .map(|name| if name.starts_with('-') { "---:" } else { "---" });
    let _ = writeln!(out, "|{}|", rules.collect::<Vec<_>>().join("|"));
}

pub(crate) fn line(out: &mut String, cells: &[String]) {
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn head(out: &mut String, results: &Results) {
    let _ = writeln!(out, "# Bench: {}\n", cell(&results.machine.device));
    facts(out, results);
}

/// What was measured where, when and by which command.
pub(crate) fn facts(out: &mut String, results: &Results) {
    let machine = &results.machine;
    let versions: Vec<String> = results
        .versions
        .iter()
        .map(|(name, version)| format!("{} {}", cell(name), cell(version)))
        .collect();
    let commit = match results.commit.as_str() {
        "" => "unknown: not measured in a checkout".into(),
        commit => cell(commit),
    };
    let rows = [
        (
            "device",
            format!(
                "{}, runtime {}",
                cell(&machine.device),
                cell(&machine.runtime)
            ),
        ),
        ("driver", cell(&machine.driver)),
        (
            "host",
            format!(
                "{}, {} cores, {}",
                cell(&machine.system),
                machine.cores,
                bytes(machine.memory)
            ),
        ),
        ("versions", versions.join(", ")),
        ("commit", commit),
        (
            "began",
            format!("{}, took {:.0} s", cell(&results.began), results.seconds),
        ),
        (
            "command",
            format!("`{}`", results.command.replace(['`', '\n'], " ")),
        ),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "- {name}: {value}");
    }
    out.push('\n');
}

pub(super) fn setting_of(summary: &Summary) -> String {
    format!(
        "{}, {}",
        summary.setting.cache,
        cell(&summary.setting.clock)
    )
}

fn summary_section(out: &mut String, results: &Results) {
    out.push_str(
        "## What it comes to\n\n\
         A ratio is the peer's median over ours: above 1, ours is faster. Means are geometric, every row with the same weight, points of \
         sweeps included; under `fast` stand the shares of rows where ours is at least 1, 1.5 and 2 times as fast, which a mean hides. A row is lost when its verdict is SLOWER: the whole interval of its ratio says that \
         the peer is faster by more than 3 %.\n\n",
    );
    let all = summaries(results);
    let mut peers = all.iter().filter(|row| row.variant != CONTROL).peekable();
    if peers.peek().is_none() {
        out.push_str("No peer was measured in this run.\n\n");
        return;
    }
    let several = settings(results).len() > 1;
    let mut names = vec!["operation", "peer"];
    names.extend(several.then_some("caches, clock"));
    names.extend([
        "-rows",
        "-mean",
        "-fast 1",
        "-1.5",
        "-2",
        "-lowest",
        "-highest",
        "-lost",
        "lowest at",
    ]);
    columns(out, &names);
    for row in peers {
        let mut cells = vec![
            row.op.as_deref().map_or("all".into(), cell),
            cell(&row.variant),
        ];
        cells.extend(several.then(|| setting_of(row)));
        cells.extend([row.rows.to_string(), bold(ratio(row.mean), row.mean < 1.0)]);
        cells.extend(row.fast.map(percent));
        cells.extend([
            ratio(row.lowest.ratio),
            ratio(row.highest.ratio),
            bold(row.lost.to_string(), row.lost > 0),
            place(row),
        ]);
        line(out, &cells);
    }
    out.push('\n');
}

fn place(row: &Summary) -> String {
    let lowest = &row.lowest;
    let op = if row.op.is_none() {
        format!("{} ", cell(&lowest.op))
    } else {
        String::new()
    };
    format!("{op}{} {}", cell(&lowest.case), cell(&lowest.phase))
}

fn networks_section(out: &mut String, results: &Results) {
    let sums = network_sums(results);
    if sums.is_empty() {
        return;
    }
    out.push_str(
        "## What networks spend\n\n\
         The time of each of a network's layers, times how often it has it, and what the peers' ratios make of that sum. A peer without a \
         time for one of the layers is left blank.\n\n",
    );
    let peers = distinct(
        sums.iter()
            .flat_map(|sum| &sum.peers)
            .map(|peer| peer.variant.as_str()),
    );
    let several = settings(results).len() > 1;
    let mut names = vec!["network", "operation", "phase"];
    names.extend(several.then_some("caches, clock"));
    names.extend(["-layers", "-ours, ms"]);
    let shown: Vec<String> = peers
        .iter()
        .map(|peer| format!("-{}", cell(peer)))
        .collect();
    names.extend(shown.iter().map(String::as_str));
    columns(out, &names);
    for sum in &sums {
        let mut cells = [&sum.network, &sum.op, &sum.phase]
            .map(|text| cell(text))
            .to_vec();
        cells.extend(
            several.then(|| format!("{}, {}", sum.setting.cache, cell(&sum.setting.clock))),
        );
        cells.push(format!("{} of {}", sum.layers, sum.of));
        cells.push(significant(sum.ours_ms));
        cells.extend(peers.iter().map(|name| {
            let found = sum.peers.iter().find(|peer| peer.variant == *name);
            found.map_or(String::new(), |peer| {
                bold(ratio(peer.ratio), peer.ratio < 1.0)
            })
        }));
        line(out, &cells);
    }
    out.push('\n');
}

fn ceilings_section(out: &mut String, results: &Results) {
    let ceilings = &results.ceilings;
    out.push_str("## Ceilings of this device\n\n");
    if ceilings.gflop_s > 0.0 {
        let _ = writeln!(
            out,
            "- multiply-adds in f32: {} GFLOP/s, two a multiply-add",
            significant(ceilings.gflop_s)
        );
    }
    for peak in &ceilings.peaks {
        let (work, g_s) = (peak.work, significant(peak.g_s));
        let _ = writeln!(out, "- {work} in {}: {g_s} G/s", cell(&peak.dtype));
    }
    let _ = writeln!(
        out,
        "- an empty launch: {} us\n",
        significant(ceilings.launch_us)
    );
    if ceilings.memory.is_empty() {
        return;
    }
    let access = |point: &Bandwidth| format!("{} {}", point.cache, point.access);
    let accesses = distinct(ceilings.memory.iter().map(access));
    let mut sets = distinct(ceilings.memory.iter().map(|point| point.bytes));
    sets.sort_unstable();
    let names: Vec<String> = accesses
        .iter()
        .map(|name| format!("-{}, GB/s", cell(name)))
        .collect();
    let mut heads = vec!["-bytes touched"];
    heads.extend(names.iter().map(String::as_str));
    columns(out, &heads);
    for set in sets {
        let mut cells = vec![bytes(set)];
        for name in &accesses {
            let point = ceilings
                .memory
                .iter()
                .find(|point| point.bytes == set && access(point) == *name);
            cells.push(
                point
                    .map(|point| significant(point.gb_s))
                    .unwrap_or_default(),
            );
        }
        line(out, &cells);
    }
    out.push('\n');
}

fn op_section(out: &mut String, results: &Results, op: &str) {
    let rows: Vec<&Row> = results.rows.iter().filter(|row| row.op == op).collect();
    let peers: Vec<&str> = peers(&results.rows)
        .into_iter()
        .filter(|peer| rows.iter().any(|row| row.variant == *peer))
        .collect();
    let several = settings(results).len() > 1;
    let _ = writeln!(out, "## {}\n", cell(op));
    let mut names: Vec<String> = vec!["case".into(), "phase".into()];
    if several {
        names.push("caches, clock".into());
    }
    names.extend(
        [
            "-ours, ms",
            "-GB/s",
            "-GFLOP/s",
            "-of the limit",
            "bound",
            "-error",
            "-peak",
            "-compiled, ms",
        ]
        .map(String::from),
    );
    names.extend(peers.iter().map(|peer| cell(peer)));
    columns(out, &names.iter().map(String::as_str).collect::<Vec<_>>());
    // Every problem once, even where ours has no time and only a peer has.
    let mut problems: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| !row.is_control()) {
        if !problems.iter().any(|problem| problem.is_beside(row)) {
            problems.push(row);
        }
    }
    for problem in problems {
        let beside: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|row| row.is_beside(problem))
            .collect();
        problem_line(out, &beside, &peers, several);
    }
    out.push('\n');
}

/// `rows` are all of one problem.
fn problem_line(out: &mut String, rows: &[&Row], peers: &[&str], several: bool) {
    let find = |variant: &str| rows.iter().copied().find(|row| row.variant == variant);
    let ours = find(OURS);
    let number = |value: fn(&Row) -> String| ours.map(value).unwrap_or_default();
    let lost = rows.iter().any(|row| row.lost());
    let mut cells = vec![
        bold(cell(&rows[0].case), lost),
        bold(cell(&rows[0].phase), lost),
    ];
    if several {
        cells.push(format!("{}, {}", rows[0].cache, cell(&rows[0].clock)));
    }
    cells.extend([
        number(|row| significant(row.median_ms)),
        number(|row| significant(row.gb_s)),
        number(|row| significant(row.gflop_s)),
        number(|row| row.roofline.map(percent).unwrap_or_default()),
        number(|row| row.bound.map(|bound| bound.to_string()).unwrap_or_default()),
        number(|row| row.error.map(error).unwrap_or_default()),
        number(|row| row.peak_bytes.map(bytes).unwrap_or_default()),
        number(|row| row.compile_ms.map(significant).unwrap_or_default()),
    ]);
    cells.extend(
        peers
            .iter()
            .map(|peer| find(peer).map(against).unwrap_or_default()),
    );
    line(out, &cells);
}

fn bold(text: String, is: bool) -> String {
    if is { format!("**{text}**") } else { text }
}

/// A ratio with its interval and verdict, bold where it is lost.
pub(super) fn against(row: &Row) -> String {
    let Some(value) = row.ratio else {
        return String::new();
    };
    let mut text = ratio(value);
    if let (Some(low), Some(high)) = (row.ratio_low, row.ratio_high) {
        let _ = write!(text, " ({} to {})", ratio(low), ratio(high));
    }
    if let Some(verdict) = row.verdict {
        let _ = write!(text, " {verdict}");
    }
    if row.lost() {
        format!("**{text}**")
    } else {
        text
    }
}
