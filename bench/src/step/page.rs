//! The table of whole steps as a document.

use super::case::Kind;
use super::row::{Row, Steps};
use crate::report::{cell, columns, geometric_mean, line, percent, ratio, significant};
use std::fmt::Write;

/// The run as a page: what was measured where, how, and its tables.
pub fn markdown(steps: &Steps) -> String {
    let mut out = format!("# Whole steps: {}\n\n", cell(&steps.machine.device));
    let versions = steps.versions.iter();
    let versions: Vec<String> = versions
        .map(|(name, version)| cell(&format!("{name} {version}")))
        .collect();
    let machine = &steps.machine;
    let commit = match steps.commit.as_str() {
        "" => "unknown: not measured in a checkout",
        commit => commit,
    };
    let facts = [
        (
            "device",
            format!(
                "{}, runtime {}, {} threads on either side",
                machine.device, machine.runtime, steps.threads
            ),
        ),
        (
            "host",
            format!("{}, {} cores", machine.system, machine.cores),
        ),
        ("commit", commit.into()),
        (
            "began",
            format!("{}, took {:.0} s", steps.began, steps.seconds),
        ),
    ];
    for (name, value) in facts {
        let _ = writeln!(out, "- {name}: {}", cell(&value));
    }
    let _ = writeln!(out, "- versions: {}", versions.join(", "));
    let _ = writeln!(
        out,
        "- command: `{}`\n",
        steps.command.replace(['`', '\n'], " ")
    );
    out.push_str(
        "This page is written by its command. Times are medians of all counted steps, each waited for, f32, 10 classes. Ours and PyTorch's take \
         turns, and who begins changes from round to round; a ratio is PyTorch's time over ours, the geometric mean over the rounds' pairs with \
         its interval of 95 %: above 1, ours is faster. Networks have the same number of parameters on both sides, or no time.\n\n",
    );
    if let Some(ceilings) = &steps.ceilings {
        let copy = ceilings.memory.first().map_or(f64::NAN, |it| it.gb_s);
        let _ = writeln!(
            out,
            "The limit of a step is the sum over its operations, the optimiser's among them, of the longer of two times: that of their bytes in a copy \
             that no cache holds ({} GB/s in this run), and that of one kind of their arithmetic at its peak (of multiply-adds {} GFLOP/s). Maps that stay in a cache, and \
             Winograd's filtering, exceed it. The peak is the most that a step of ours held at once: parameters, gradients, the optimiser's \
             memory, images, and what the backward pass needs of the forward pass.\n",
            significant(copy),
            significant(ceilings.gflop_s)
        );
    }
    out + &tables(steps)
}

/// The tables alone.
pub fn tables(steps: &Steps) -> String {
    let mut out = String::new();
    for (title, kind) in [
        ("Training steps", Kind::Train),
        ("Distillation steps", Kind::Distill),
        ("Inference", Kind::Infer),
    ] {
        let rows: Vec<&Row> = steps
            .rows
            .iter()
            .filter(|row| row.case.kind == kind)
            .collect();
        if !rows.is_empty() {
            let _ = writeln!(out, "## {title}\n");
            table(&mut out, kind, &rows);
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn table(out: &mut String, kind: Kind, rows: &[&Row]) {
    let mut names = vec![
        "network, batch, px",
        "-parameters",
        "-ours, ms",
        "-images/s",
    ];
    names.extend(["-PyTorch, ms", "-images/s", "-ratio", "-95 %"]);
    names.extend(match kind {
        Kind::Infer => ["PyTorch's ways, ms", "-launches"].as_slice(),
        _ => &["-limit, ms", "-reached", "-peak, MiB", "-launches"],
    });
    columns(out, &names);
    for row in rows {
        let mut cells = vec![name(row), row.parameters[0].to_string()];
        cells.extend(time(row, Some(row.median())));
        cells.extend(time(row, row.best().map(|(_, ms)| ms)));
        cells.extend(match row.ratio() {
            Some(found) => [
                format!("**{}**", ratio(found.value)),
                format!("{} to {}", ratio(found.low), ratio(found.high)),
            ],
            None => [String::new(), String::new()],
        });
        match kind {
            Kind::Infer => cells.push(ways(row)),
            _ => cells.extend([
                row.limit_ms.map_or(String::new(), significant),
                row.reached().map_or(String::new(), percent),
                significant(row.peak_bytes as f64 / f64::from(1 << 20)),
            ]),
        }
        cells.push(row.launches.to_string());
        line(out, &cells);
    }
    let ratios: Vec<f64> = rows
        .iter()
        .filter_map(|row| Some(row.ratio()?.value))
        .collect();
    if ratios.len() > 1 {
        let mean = ratio(geometric_mean(ratios.iter().copied()));
        let _ = writeln!(
            out,
            "\nGeometric mean of {} ratios: **{mean}**.",
            ratios.len()
        );
    }
    for row in rows {
        for way in &row.peers {
            if let Some(reason) = &way.failed {
                let _ = writeln!(out, "\n- {}, {}: {}", name(row), way.name, cell(reason));
            }
        }
    }
    out.push('\n');
}

fn name(row: &Row) -> String {
    let case = &row.case;
    let teacher = case.teacher.as_ref();
    let teacher = teacher.map_or(String::new(), |name| format!(" by `{name}`"));
    format!("`{}`{teacher}, {}, {}", case.network, case.batch, case.side)
}

/// A step's time, and images a second.
fn time(row: &Row, ms: Option<f64>) -> [String; 2] {
    match ms {
        Some(ms) => [significant(ms), significant(row.images_per_s(ms))],
        None => [String::new(), String::new()],
    }
}

/// What each of PyTorch's ways took.
fn ways(row: &Row) -> String {
    let measured = row.peers.iter().filter(|way| !way.times.is_empty());
    let each = measured.map(|way| format!("{} {}", way.name, significant(way.median())));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::case::Case;
    use super::super::row::Way;
    use super::*;
    use crate::results::Machine;

    fn way(name: &str, ms: f64) -> Way {
        Way {
            name: name.into(),
            times: vec![vec![ms; 3]; 6],
            failed: None,
        }
    }

    fn row(case: &str, ours: f64, peers: Vec<Way>) -> Row {
        Row {
            case: Case::of(case).expect(case).remove(0),
            parameters: vec![78_042],
            first_ms: 900.0,
            ours: vec![vec![ours; 3]; 6],
            peers,
            limit_ms: Some(ours / 2.0).filter(|_| !case.starts_with("infer")),
            peak_bytes: 3 << 20,
            launches: 91,
        }
    }

    fn steps() -> Steps {
        let mut steps = Steps::begin(
            Machine::default(),
            2,
            "cargo xtask bench --bench step --".into(),
        );
        let compiled = Way {
            failed: Some("no | compiler".into()),
            times: Vec::new(),
            ..way("compiled", 0.0)
        };
        steps.rows = vec![
            row("train:resnet8:128:64", 100.0, vec![way("eager", 150.0)]),
            row("train:resnet20:128:64", 100.0, vec![way("eager", 600.0)]),
            row(
                "infer:resnet8:1:64",
                1.0,
                vec![way("eager", 3.0), compiled, way("frozen", 2.0)],
            ),
            row("distill:resnet8:resnet20:4:64", 10.0, Vec::new()),
        ];
        steps
    }

    #[test]
    fn a_row_has_both_times_and_the_ratio_to_pytorchs_best_way() {
        let page = markdown(&steps());
        for wanted in [
            "| `resnet8`, 128, 64 | 78042 | 100 | 1280 | 150 | 853 | **1.50** | 1.50 to 1.50 | 50.0 | 50 % | 3.00 | 91 |",
            "Geometric mean of 2 ratios: **3.00**.",
            "| **2.00** | 2.00 to 2.00 | eager 3.00, frozen 2.00 | 91 |",
            "- `resnet8`, 1, 64, compiled: no \\| compiler",
            "| `resnet8` by `resnet20`, 4, 64 | 78042 | 10.0 | 400 |  |  |  |  | 5.00 | 50 % | 3.00 | 91 |",
        ] {
            assert!(page.contains(wanted), "no {wanted} in\n{page}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (steps, folder) = (steps(), tempfile::tempdir().expect("a folder"));
        let path = folder.path().join("steps.json");
        steps.write(&path).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(
            serde_json::from_str::<Steps>(&text).expect("its own format"),
            steps
        );
        let line = steps.rows[0].line();
        let line: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(
            (&line["op"], &line["ratio"]),
            (&"resnet8".into(), &1.5.into())
        );
    }
}
