//! The command line of the bench.

use crate::clock::{DeviceTime, throughput};
use crate::compare::compare;
use crate::contender::Peer;
use crate::machine::{commit, last_level_cache, versions};
use crate::peers;
use crate::phase::Phase;
use crate::results::{Ceilings, FORMAT, Machine, Results};
use crate::run::{Effort, Outcome, Runner};
use crate::suite::{Extra, Family, Suite, SuiteError};
use crate::turn::Flush;
use crate::{launches, report};
use clap::{Args, Parser, Subcommand};
use criterion::{BenchmarkId, Criterion};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs};

/// Phases up to which a filtered run takes the time of a full one.
const FEW: usize = 80;
/// Cases of each operation that a quick run takes.
const QUICK_CASES: usize = 2;

#[derive(Parser)]
#[command(
    name = "cargo bench --bench ops --",
    about = "Measures Ghostlight's operations beside other libraries, and against the device's own limits.",
    after_help = "Without a command, and with at most one FILTER, criterion times our kernels by the device's clock, and for a FILTER the \
report follows beside all peers that are there. Criterion's own options then work too. A filter is part of `op/phase/case`."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Times all variants beside all peers and writes report.html, results.json and results.md.
    Report(Report),
    /// Compares two results.json: verdicts for every row of ours, and a status that is not 0 where one became slower.
    Compare {
        /// The earlier one.
        before: PathBuf,
        /// The later one.
        after: PathBuf,
    },
    /// Shows the problems, one JSON object a line.
    List {
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
        filters: Vec<String>,
    },
    /// Shows the device's own time of every launch of one call.
    Launches { filters: Vec<String> },
}

#[derive(Args, Default)]
struct Report {
    /// Two cases of each operation, shorter turns, no flushed caches.
    #[arg(long)]
    quick: bool,
    /// The folder to write to.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The interpreter that has PyTorch; else `python3`, if it has it.
    #[arg(long, value_name = "PYTHON")]
    torch: Option<String>,
    /// PyTorch's compiled functions beside its eager ones.
    #[arg(long)]
    compiled: bool,
    /// A JSON list of problems beside those of the catalogue.
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Parts of `op/phase/case`, all of which a phase must have.
    filters: Vec<String>,
}

/// Runs the command line for the operations of `families`.
pub fn main(families: &[Family]) -> ExitCode {
    match run(families) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(families: &[Family]) -> Result<ExitCode, Box<dyn Error>> {
    // `cargo bench` adds `--bench` to what it passes on.
    let words: Vec<String> = env::args().filter(|word| word != "--bench").collect();
    let first = words.get(1).map_or("", String::as_str);
    let commands = [
        "report", "compare", "list", "launches", "help", "--help", "-h",
    ];
    if !commands.contains(&first) {
        return criterion_then_report(families, &words[1..]);
    }
    match Line::parse_from(&words).command {
        Command::Report(options) => {
            let bench = Bench::new(families, options.cases.as_deref(), &options.filters)?;
            bench.report(&options, options.quick)?;
        }
        Command::Compare { before, after } => {
            let comparison = compare(&Results::read(&before)?, &Results::read(&after)?);
            println!("{comparison}");
            if comparison.regressed() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::List { cases, filters } => {
            Bench::new(families, cases.as_deref(), &filters)?.list()?
        }
        Command::Launches { filters } => Bench::new(families, None, &filters)?.launches()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What `cargo bench -- FILTER` does.
fn criterion_then_report(
    families: &[Family],
    words: &[String],
) -> Result<ExitCode, Box<dyn Error>> {
    let options = ["--test", "--list", "--profile-time", "--load-baseline"];
    let only_criterion = words.iter().any(|word| options.contains(&word.as_str()));
    // The values of criterion's options are no filters; its filter comes first or last.
    let takes_value = |word: &String| word.starts_with("--") && !word.contains('=');
    let is_filter =
        |i: &usize| !words[*i].starts_with('-') && (*i == 0 || !takes_value(&words[*i - 1]));
    let filters: Vec<String> = (0..words.len())
        .filter(is_filter)
        .map(|i| words[i].clone())
        .collect();
    let bench = Bench::new(families, None, &filters)?;
    bench.criterion()?;
    if filters.is_empty() || only_criterion {
        eprintln!(
            "the report beside other libraries: cargo xtask bench report, or cargo bench -- FILTER"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let quick = bench.phases.len() > FEW;
    bench.report(&Report::default(), quick)?;
    Ok(ExitCode::SUCCESS)
}

/// The phases that passed the filters.
struct Bench<'a> {
    families: &'a [Family],
    filters: &'a [String],
    extra: Extra,
    /// `op/phase/case` of each.
    phases: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(
        families: &'a [Family],
        cases: Option<&Path>,
        filters: &'a [String],
    ) -> Result<Self, Box<dyn Error>> {
        let mut bench = Self {
            families,
            filters: &[],
            extra: Extra::default(),
            phases: Vec::new(),
        };
        let mut ops = Vec::new();
        bench.each(|phase| {
            if !ops.contains(&phase.op.to_string()) {
                ops.push(phase.op.to_string());
            }
            Ok(())
        })?;
        if let Some(path) = cases {
            bench.extra = Extra::read(path, &ops)?;
        }
        bench.filters = filters;
        let mut phases = Vec::new();
        bench.each(|phase| {
            phases.push(phase.line());
            Ok(())
        })?;
        if phases.is_empty() {
            let filters = filters.join(" ");
            let ops = ops.join(", ");
            return Err(format!(
                "nothing is called `{filters}`; the operations are {ops}, and `list` shows every op/phase/case"
            )
            .into());
        }
        bench.phases = phases;
        Ok(bench)
    }

    /// Hands every phase that passes the filters to `visit`.
    fn each(
        &self,
        mut visit: impl FnMut(Phase) -> Result<(), SuiteError>,
    ) -> Result<(), SuiteError> {
        let mut filtered = |phase: Phase| {
            let line = phase.line();
            match self
                .filters
                .iter()
                .all(|filter| line.contains(filter.as_str()))
            {
                true => visit(phase),
                false => Ok(()),
            }
        };
        let mut suite = Suite::new(&self.extra, &mut filtered);
        self.families
            .iter()
            .try_for_each(|family| family(&mut suite))
    }

    fn list(&self) -> Result<(), SuiteError> {
        self.each(|phase| {
            let inputs: Vec<&[usize]> = phase.inputs.iter().map(|input| &input.shape[..]).collect();
            let line = serde_json::json!({
                "op": phase.op, "phase": phase.phase, "case": phase.case, "arguments": phase.arguments,
                "inputs": inputs, "macs": phase.cost.macs,
                "bytes": phase.cost.bytes_read + phase.cost.bytes_written,
            });
            println!("{line}");
            Ok(())
        })
    }

    fn launches(&self) -> Result<(), SuiteError> {
        let client = cubecl::Device::default().client();
        self.each(|phase| {
            let mut ours = phase.variants[0].contender(&client, &phase.inputs, "ours");
            println!("{}", phase.line());
            let loaded = ours
                .load(&crate::input::draw(&phase.inputs, 0))
                .and_then(|()| ours.call())
                .and_then(|_| ours.call());
            match loaded {
                Ok(_) => {
                    for (kernel, ms) in launches(|| ours.call()) {
                        let kernel = kernel.split('<').next().unwrap_or(kernel);
                        println!("  {ms:9.4} ms  {kernel}");
                    }
                }
                Err(reason) => println!("  {reason}"),
            }
            Ok(())
        })
    }

    /// Our kernels by criterion, each verified by being called once.
    fn criterion(&self) -> Result<(), SuiteError> {
        let client = cubecl::Device::default().client();
        let clock = DeviceTime::new(&client);
        eprintln!("criterion reads the {} clock", clock.name());
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600))
            .sample_size(20)
            .with_measurement(clock)
            .configure_from_args();
        self.each(|phase| {
            let mut group = criterion.benchmark_group(format!("{}/{}", phase.op, phase.phase));
            group.throughput(throughput(phase.cost));
            let mut ours = phase.variants[0].contender(&client, &phase.inputs, "ours");
            let loaded = ours
                .load(&crate::input::draw(&phase.inputs, 0))
                .and_then(|()| ours.call())
                .and_then(|_| ours.outputs());
            match loaded {
                Ok(_) => {
                    group.bench_function(BenchmarkId::from_parameter(phase.case), |bencher| {
                        bencher.iter(|| ours.call());
                    });
                }
                Err(reason) => eprintln!("{}: refused: {reason}", phase.line()),
            }
            group.finish();
            Ok(())
        })?;
        criterion.final_summary();
        Ok(())
    }

    fn report(&self, options: &Report, quick: bool) -> Result<(), Box<dyn Error>> {
        let (begun, began) = (Instant::now(), SystemTime::now());
        let device = cubecl::Device::default();
        let client = device.client();
        let folder = match &options.out {
            Some(folder) => folder.clone(),
            None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench")),
        };
        fs::create_dir_all(&folder)
            .map_err(|error| format!("--out {}: {error}", folder.display()))?;
        let peers = peers::all(options.torch.as_deref(), options.compiled)?;
        let versions = with_peers(versions(), &peers);
        eprintln!("measuring the device's ceilings");
        let mut runner = Runner {
            ceilings: Ceilings::measure(&client)?,
            effort: if quick { Effort::QUICK } else { Effort::FULL },
            flush: Flush::of(last_level_cache(&client)),
            client,
            peers,
        };
        let mut results = Results {
            format: FORMAT,
            machine: Machine::here(&device),
            versions,
            commit: commit(),
            began: humantime::format_rfc3339_seconds(began).to_string(),
            seconds: 0.0,
            command: command(),
            ceilings: runner.ceilings.clone(),
            rows: Vec::new(),
            refused: Vec::new(),
        };
        let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut at = 0;
        self.each(|phase| {
            at += 1;
            let cases = seen.entry(phase.op.into()).or_default();
            if quick && !cases.contains(phase.case) && cases.len() == QUICK_CASES {
                return Ok(());
            }
            cases.insert(phase.case.into());
            let outcome = runner.run(&phase);
            eprintln!("[{at}/{}] {}", self.phases.len(), summary(&phase, &outcome));
            results.rows.extend(outcome.rows);
            results.refused.extend(outcome.refused);
            Ok(())
        })?;
        results.seconds = begun.elapsed().as_secs_f64();
        results.write(&folder.join("results.json"))?;
        for (name, text) in [
            ("results.md", report::markdown(&results)),
            ("report.html", report::html(&results)),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        println!("{}", report::terminal(&results));
        let folder = folder.canonicalize().unwrap_or(folder);
        println!("\n{}", folder.join("report.html").display());
        Ok(())
    }
}

/// One line on what a phase came to.
fn summary(phase: &Phase, outcome: &Outcome) -> String {
    let mut line = phase.line();
    for row in outcome
        .rows
        .iter()
        .filter(|row| row.cache == crate::results::Cache::Hot)
    {
        line += &match (row.ratio, row.roofline) {
            (Some(ratio), _) => format!("  {} {ratio:.2}", row.variant),
            (None, roofline) => format!(
                "  {:.4} ms, {:.2} of the limit ",
                row.median_ms,
                roofline.unwrap_or(0.0)
            ),
        };
    }
    for refused in &outcome.refused {
        line += &format!("\n    {} refused: {}", refused.variant, refused.reason);
    }
    line
}

fn with_peers(
    mut versions: BTreeMap<String, String>,
    peers: &[Box<dyn Peer>],
) -> BTreeMap<String, String> {
    for peer in peers {
        let [name, version] = peer.version();
        versions.insert(name, version);
    }
    versions
}

/// The command that repeats this run, without the paths of this machine.
fn command() -> String {
    let words = env::args().skip(1).filter(|word| word != "--bench");
    let named: Vec<String> = words
        .map(|word| {
            match word.contains(['/', '\\']) && !word.contains(' ') && Path::new(&word).exists() {
                true => Path::new(&word)
                    .file_name()
                    .map_or(word.clone(), |name| name.to_string_lossy().into_owned()),
                false => word,
            }
        })
        .collect();
    match named.first().map(String::as_str) {
        Some("report") => format!("cargo xtask bench {}", named.join(" ")),
        _ => format!("cargo xtask bench -- {}", named.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn what_no_operation_is_called_is_told_with_what_there_is() {
        let filters = ["nothing".to_string()];
        let error = Bench::new(&[], None, &filters)
            .err()
            .expect("it matches nothing");
        assert!(
            error.to_string().contains("nothing is called `nothing`"),
            "{error}"
        );
    }

    #[test]
    fn counting_counts_nothing_where_nothing_is_launched() {
        let ((), counts) = crate::count(|| ());
        assert_eq!((counts.launches, counts.allocations), (0, 0));
    }
}
