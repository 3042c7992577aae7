use super::trial::{Reach, Trial, Tried};
use crate::report::{cell, columns, facts, line, ratio};
use crate::results::Results;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEADS: [&str; 9] = [
    "kernel",
    "problems",
    "rule",
    "best",
    "-rule over best",
    "-interval",
    "5 %",
    "-control",
    "-candidates",
];

/// The run as a page: what was measured where, how, a table of the classes, and each candidate.
pub fn markdown(results: &Results, trials: &[Trial]) -> String {
    let mut out = format!("# Choices: {}\n\n", cell(&results.machine.device));
    facts(&mut out, results);
    out.push_str(
        "This page is written by its command; [the bench](../bench.md#tuning) says how. For each class of problems the sizes that a kernel's rule takes \
         stand beside those that were fastest on this machine. **Rule over best** is the rule's time over that of the best, by turns of these two \
         alone, with its interval of 95 %: above 1 the rule is slower. **5 %** says whether the rule lies within that of the best, as far as the interval \
         tells. Every candidate computed the same bits as the rule, or is listed as refused.\n\n",
    );
    out.push_str(&summary(trials));
    out.push('\n');
    columns(&mut out, &HEADS);
    for cells in trials.iter().map(cells) {
        line(&mut out, &cells.map(|text| cell(&text)));
    }
    out.push_str("\n## Every candidate\n\nThe rule's time over each candidate's, by shorter turns of all of them.\n");
    for trial in trials {
        let _ = write!(
            out,
            "\n- **{}**, on {}: ",
            cell(&trial.key.to_string()),
            cell(&trial.on)
        );
        let tried: Vec<String> = trial
            .tried
            .iter()
            .map(|it| format!("{} {}", it.sizes, ratio(it.gain)))
            .collect();
        out.push_str(&cell(&tried.join(", ")));
        for (sizes, reason) in &trial.refused {
            let _ = write!(
                out,
                "; {} refused: {}",
                cell(&sizes.to_string()),
                cell(reason)
            );
        }
    }
    out + "\n"
}

/// The classes alone, a line each, and what they come to.
pub fn table(trials: &[Trial]) -> String {
    let heads = HEADS.map(|name| name.trim_start_matches('-').to_string());
    let lines: Vec<[String; 9]> = std::iter::once(heads)
        .chain(trials.iter().map(cells))
        .collect();
    let widths: [usize; 9] =
        std::array::from_fn(|i| lines.iter().map(|cells| cells[i].len()).max().unwrap_or(0));
    let mut out = String::new();
    for cells in &lines {
        let padded = cells
            .iter()
            .zip(HEADS)
            .zip(widths)
            .map(|((text, head), width)| match head.starts_with('-') {
                true => format!("{text:>width$}"),
                false => format!("{text:width$}"),
            });
        let padded: Vec<String> = padded.collect();
        let _ = writeln!(out, "{}", padded.join("  ").trim_end());
    }
    let _ = write!(out, "\n{}", summary(trials));
    out
}

/// How many classes of each kernel lie within 5 % of the best.
fn summary(trials: &[Trial]) -> String {
    let mut kernels: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for trial in trials {
        let counts = kernels.entry(&trial.key.op).or_default();
        counts[match trial.reach() {
            Reach::Within => 0,
            Reach::Unsure => 1,
            Reach::Beyond => 2,
        }] += 1;
    }
    let mut out = String::new();
    for (kernel, [within, unsure, beyond]) in kernels {
        let all = within + unsure + beyond;
        let _ = writeln!(
            out,
            "- {kernel}: of {all} classes the rule is within 5 % of the best in {within}, beyond it in {beyond}, and {unsure} cannot be told"
        );
    }
    out
}

fn cells(trial: &Trial) -> [String; 9] {
    let [best, gain, interval] = match &trial.best {
        Some(Tried {
            sizes,
            gain,
            low,
            high,
        }) => [
            sizes.to_string(),
            ratio(*gain),
            format!("{} to {}", ratio(*low), ratio(*high)),
        ],
        None => Default::default(),
    };
    [
        trial.key.op.clone(),
        format!("{} {}", trial.key.dtype.name(), trial.key.class),
        trial.rule.to_string(),
        best,
        gain,
        interval,
        trial.reach().to_string(),
        trial.control.map(ratio).unwrap_or_default(),
        (trial.tried.len() + trial.refused.len()).to_string(),
    ]
}
