use super::error::CommandError;
use super::output::{note, result};
use crate::compare::{Compared, Comparison, compare, gain, markdown, percent, render};
use crate::run::write_atomic;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct CompareArguments {
    /// Runs' folders, or folders of runs, one for each seed.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Write a page with curves and classes to this file; to FILE.md the tables, as Markdown.
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CompareArguments) -> Result<(), CommandError> {
    let comparison = compare(&arguments.runs)?;
    for apart in &comparison.set_apart {
        note(format_args!("note: not compared: {apart}"));
    }
    if let Some(out) = &arguments.out {
        let text = match out
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("md"))
        {
            true => markdown(&comparison),
            false => render(&comparison)?,
        };
        write_atomic(out, text.as_bytes())?;
    }
    if arguments.json {
        return result(serde_json::json!(comparison));
    }
    print(&comparison)?;
    match &arguments.out {
        Some(out) => result(format_args!("page: {}", out.display())),
        None => result("a page with curves and classes: --out FILE.html"),
    }
}

/// The table of all networks of all runs.
pub(super) fn print(comparison: &Comparison) -> Result<(), CommandError> {
    let data = &comparison.data;
    result(format_args!(
        "{}: {} classes, {} training, {} validation and {} test images of {} x {} pixels",
        data.name,
        data.classes.len(),
        data.train,
        data.validation,
        data.test,
        data.width,
        data.height
    ))?;
    let networks = || comparison.experiments.iter().flat_map(|it| &it.networks);
    let width = networks().map(|it| it.title.chars().count()).max();
    let width = width.unwrap_or(0);
    for experiment in &comparison.experiments {
        let seeds = experiment.runs.iter().map(|run| run.seed.to_string());
        let seeds: Vec<String> = seeds.collect();
        let (word, seeds) = (if seeds.len() == 1 { "seed" } else { "seeds" }, seeds);
        result(format_args!(
            "\n{}: {word} {}",
            experiment.label,
            seeds.join(", ")
        ))?;
        for (key, value) in &experiment.differs {
            result(format_args!("  {key} = {value}"))?;
        }
        result(format_args!(
            "{:width$} {:>11} {:>9} {:>16} {:>14} {:>10}  points over the network alone",
            "", "params", "MMACs", "accuracy, %", "infer images/s", "median ms"
        ))?;
        for network in &experiment.networks {
            row(network, width)?;
        }
        for ratio in &experiment.ratios {
            result(format_args!(
                "{} has {:.2} times the parameters and {:.2} times the MACs of {}, which is {:.2} times as fast",
                ratio.teacher_arch, ratio.params, ratio.macs, ratio.arch, ratio.speed
            ))?;
        }
    }
    Ok(())
}

fn row(network: &Compared, width: usize) -> Result<(), CommandError> {
    let median = network.median_ms.as_ref();
    result(format_args!(
        "{:width$} {:>11} {:>9.2} {:>16} {:>14.0} {:>10}  {}",
        network.title,
        network.params,
        network.macs as f64 / 1e6,
        percent(&network.accuracy),
        network.infer_images_per_s.mean,
        median.map_or("-".into(), |it| format!("{:.2}", it.mean)),
        network.difference.as_ref().map_or(String::new(), gain),
    ))
}
