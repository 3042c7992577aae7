//! What the bench's commands do with the phases that pass the filters.

use crate::cli::Report;
use crate::clock::{DeviceTime, throughput};
use crate::contender::Peer;
use crate::criterion_line::CriterionLine;
use crate::flush::Flush;
use crate::gauges::Gauges;
use crate::history::Store;
use crate::input::draw;
use crate::machine::{commit, versions};
use crate::phase::Phase;
use crate::problems::Problems;
use crate::report::distinct;
use crate::results::{Cache, Ceilings, FORMAT, Machine, Results};
use crate::run::{Budget, Effort, Outcome, Runner};
use crate::suite::{Extra, Family, Suite, SuiteError};
use crate::{launches, peers, report};
use criterion::{BenchmarkId, Criterion};
use ghostlight_autodiff::DType;
use ghostlight_kernels::{Work, tune};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs};

/// Cases of each operation that a quick run takes.
const QUICK_CASES: usize = 2;
/// So few phases are timed beside all contenders, more of them beside the slow ones at the first problem of each operation alone: in
/// a run over the catalogue these would take an hour.
const FEW_PHASES: usize = 12;

/// The phases that passed the filters.
pub(crate) struct Session<'a> {
    families: &'a [Family],
    filters: &'a [String],
    extra: Extra,
    /// `op/phase/case` of each.
    pub phases: Vec<String>,
}

impl<'a> Session<'a> {
    /// The phases that pass the filters; an error that names what there is where none does.
    pub fn new(families: &'a [Family], problems: &'a Problems) -> Result<Self, Box<dyn Error>> {
        let mut bench = Self {
            families,
            filters: &[],
            extra: Extra::default(),
            phases: Vec::new(),
        };
        let mut ops = Vec::new();
        let with_fields = bench.visit(|phase| {
            if !ops.contains(&phase.op.to_string()) {
                ops.push(phase.op.to_string());
            }
            Ok(())
        })?;
        bench.extra = problems.extra(&with_fields)?;
        let filters = &problems.filters;
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
    pub fn each(
        &self,
        visit: impl FnMut(Phase) -> Result<(), SuiteError>,
    ) -> Result<(), SuiteError> {
        self.visit(visit).map(|_| ())
    }

    /// That; returns the operations whose problems have fields.
    fn visit(
        &self,
        mut visit: impl FnMut(Phase) -> Result<(), SuiteError>,
    ) -> Result<Vec<String>, SuiteError> {
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
            .try_for_each(|family| family(&mut suite))?;
        Ok(suite.into_asked())
    }

    /// Prints the problems.
    pub fn list(&self) -> Result<(), SuiteError> {
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

    /// Prints the device's own time of every launch of one call.
    pub fn launches(&self) -> Result<(), SuiteError> {
        let client = cubecl::Device::default().client();
        self.each(|phase| {
            let mut ours = phase.variants[0].contender(&client, &phase.inputs, "ours");
            println!("{}", phase.line());
            let loaded = ours
                .load(&draw(&phase.inputs, 0))
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

    /// Our kernels by criterion, each verified first. Returns how many were refused.
    pub fn criterion(&self, line: &CriterionLine) -> Result<usize, SuiteError> {
        let client = cubecl::Device::default().client();
        let clock = DeviceTime::new(&client);
        eprintln!("criterion reads the {} clock", clock.name());
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600))
            .sample_size(20)
            .with_measurement(clock);
        if line.is_criterions() {
            criterion = criterion.configure_from_args();
        }
        let mut refused = 0;
        self.each(|phase| {
            let mut group = criterion.benchmark_group(format!("{}/{}", phase.op, phase.phase));
            group.throughput(throughput(phase.cost));
            let mut ours = phase.variants[0].contender(&client, &phase.inputs, "ours");
            let verified = match line.lists() {
                true => Ok(()),
                false => phase.verify(ours.as_mut()).map(|_| ()),
            };
            match verified {
                Ok(()) => {
                    group.bench_function(BenchmarkId::from_parameter(phase.case), |bencher| {
                        bencher.iter(|| ours.call());
                    });
                }
                Err(reason) => {
                    refused += 1;
                    eprintln!("{}: refused: {reason}", phase.line());
                }
            }
            group.finish();
            Ok(())
        })?;
        criterion.final_summary();
        Ok(refused)
    }

    /// How many phases a report takes, and the kinds of arithmetic that they have, each with the element type by whose peaks it is judged.
    fn chosen(&self, quick: bool) -> Result<(usize, Vec<(Work, DType)>), SuiteError> {
        let (mut cases, mut phases, mut found) = (Cases::default(), 0, Vec::new());
        self.each(|phase| {
            if cases.take(&phase, quick).is_some() {
                phases += 1;
                let has = |work: &Work| phase.cost.count(*work) > 0;
                let kinds = Work::ALL.into_iter().filter(has);
                found.extend(kinds.map(|work| (work, phase.dtype)));
            }
            Ok(())
        })?;
        Ok((phases, distinct(found.into_iter())))
    }

    /// Measures, writes the report's four files, and keeps the run in `store`. Returns how many phases of ours were refused.
    pub fn report(
        &self,
        options: &Report,
        quick: bool,
        store: Option<&Store>,
    ) -> Result<usize, Box<dyn Error>> {
        let short = options.short;
        let (start, began) = (Instant::now(), SystemTime::now());
        let device = cubecl::Device::default();
        let client = device.client();
        let tuned = options.tuned.as_ref().map(Option::as_deref);
        let tuned = tune::use_asked(|| client.clone(), tuned)?;
        if let Some(choices) = tuned {
            eprintln!(
                "{choices} choices are those of a table; this run is kept out of the history"
            );
        }
        let folder = match &options.out {
            Some(folder) => folder.clone(),
            None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench")),
        };
        fs::create_dir_all(&folder)
            .map_err(|error| format!("--out {}: {error}", folder.display()))?;
        let peers = match short {
            true => Vec::new(),
            false => peers::all(&device, options.torch.as_deref(), options.compiled)?,
        };
        let versions = with_peers(versions(), &peers);
        let (phases, needed) = self.chosen(quick)?;
        let ceilings = match short {
            true => Ceilings::default(),
            false => {
                eprintln!("measuring the device's ceilings");
                Ceilings::measure(&client, quick, &needed)?
            }
        };
        let effort = match quick || short {
            true => Effort::QUICK,
            false => Effort::FULL,
        };
        let mut runner = Runner {
            ceilings,
            effort,
            budget: options.budget.map(|budget| Budget::new(budget, phases)),
            flush: Flush::on(&client),
            gauges: Gauges::here(&device),
            with_slow: true,
            client,
            peers,
        };
        runner.gauges.begin();
        let mut results = begun(&device, &runner, began, "-- ");
        results.versions = versions;
        let mut cases = Cases::default();
        let mut at = 0;
        self.each(|mut phase| {
            at += 1;
            if short {
                phase.variants.truncate(1);
            }
            let Some(is_first) = cases.take(&phase, quick) else {
                return Ok(());
            };
            // The first problem of an operation shows how far behind the slow ones are.
            runner.with_slow = self.phases.len() <= FEW_PHASES || is_first && !quick;
            let outcome = runner.run(&phase);
            eprintln!("[{at}/{}] {}", self.phases.len(), summary(&phase, &outcome));
            results.rows.extend(outcome.rows);
            results.refused.extend(outcome.refused);
            results.ceilings = runner.ceilings.clone();
            results.seconds = start.elapsed().as_secs_f64();
            // What a run that is cut short has measured is there; that it cannot be written is told at the end.
            let _ = results.write(&folder.join("results.json"));
            Ok(())
        })?;
        results.write(&folder.join("results.json"))?;
        for (name, text) in [
            ("results.csv", report::csv(&results)),
            ("results.md", report::markdown(&results)),
            ("report.html", report::html(&results)),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        println!("{}", report::terminal(&results));
        let folder = folder.canonicalize().unwrap_or(folder);
        println!("\n{}", folder.join("report.html").display());
        match store
            .filter(|_| tuned.is_none())
            .map(|store| store.keep(&results))
        {
            Some(Ok(kept)) => println!("{}", kept.display()),
            Some(Err(error)) => eprintln!("warning: this run is not kept: {error}"),
            None => {}
        }
        let ours = results.refused.iter().filter(|refused| refused.is_ours());
        let refused = ours.count();
        if refused > 0 {
            eprintln!("error: {refused} of ours were refused");
        }
        Ok(refused)
    }
}

/// The cases that a report has taken, by operation.
#[derive(Default)]
pub(crate) struct Cases(BTreeMap<String, BTreeSet<String>>);

impl Cases {
    /// Whether `phase` is of the first case of its operation; none where a quick report leaves it out.
    pub fn take(&mut self, phase: &Phase, quick: bool) -> Option<bool> {
        let cases = self.0.entry(phase.op.into()).or_default();
        let is_new = !cases.contains(phase.case);
        if quick && is_new && cases.len() == QUICK_CASES {
            return None;
        }
        cases.insert(phase.case.into());
        Some(cases.len() == 1)
    }
}

/// One line on what a phase came to.
fn summary(phase: &Phase, outcome: &Outcome) -> String {
    let mut line = phase.line();
    for row in outcome.rows.iter().filter(|row| row.cache == Cache::Hot) {
        line += &match (row.ratio, row.roofline.zip(row.bound)) {
            (Some(ratio), _) => format!("  {} {ratio:.2}", row.variant),
            (None, Some((share, bound))) => format!(
                "  {:.4} ms, {share:.2} of the limit by {bound} ",
                row.median_ms
            ),
            (None, None) => format!("  {:.4} ms ", row.median_ms),
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

/// What is known of a run on `device` before its first row; `bench` is what [`command`] is told.
pub(crate) fn begun(
    device: &cubecl::Device,
    runner: &Runner,
    began: SystemTime,
    bench: &str,
) -> Results {
    Results {
        format: FORMAT,
        machine: Machine::here(device),
        versions: versions(),
        commit: commit(),
        began: humantime::format_rfc3339_seconds(began).to_string(),
        seconds: 0.0,
        command: command(bench),
        ceilings: runner.ceilings.clone(),
        missing: runner.gauges.missing(),
        rows: Vec::new(),
        refused: Vec::new(),
    }
}

/// The command that repeats this run, without the paths of this machine; `bench` names the one of `cargo bench`'s binaries.
pub(crate) fn command(bench: &str) -> String {
    let words = env::args().skip(1).filter(|word| word != "--bench");
    let named: Vec<String> = words
        .map(|word| match Path::new(&word).is_absolute() {
            true => Path::new(&word)
                .file_name()
                .map_or(word.clone(), |name| name.to_string_lossy().into_owned()),
            false => word,
        })
        .collect();
    match named.first().map(String::as_str) {
        Some("report") if cfg!(feature = "peers") => {
            let rest = named[1..].join(" ");
            format!("cargo xtask bench report --features peers {rest}")
        }
        Some("report") => format!("cargo xtask bench {}", named.join(" ")),
        _ => format!("cargo xtask bench {bench}{}", named.join(" ")),
    }
}

#[cfg(test)]
mod tests;
