//! The command line of the bench.

use crate::ab::{self, Ab, Bisect};
use crate::compare::compare;
use crate::criterion_line::CriterionLine;
use crate::history::{self, History, Store, StoreError};
use crate::ladder;
use crate::problems::Problems;
use crate::results::Results;
use crate::session::Session;
use crate::suite::Family;
use crate::tune;
use clap::{Args, CommandFactory, Parser, Subcommand};
use ghostlight_offline::gate::faults;
use ghostlight_offline::{Card, Table, changes};
use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Phases up to which a filtered run takes the time of a full one.
const FEW: usize = 80;
#[derive(Parser)]
#[command(
    name = "cargo bench --bench ops --",
    about = "Measures Ghostlight's operations beside other libraries, and against the device's own limits.",
    after_help = "Without a command, and with at most one FILTER, criterion times our kernels by the device's clock, and for a FILTER the \
report follows beside all peers that are there. Criterion's own options then work too, before and behind it. A filter is part of `op/phase/case`."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Times all variants beside all peers and writes report.html, results.json, results.csv and results.md.
    Report(Report),
    /// Compares two results.json: verdicts for every row of ours, and a status that is not 0 where one became slower, wrong, refused
    /// or missing; or two gpu-shape.json.
    Compare {
        /// The second was asked for a part of the first alone: what it lacks is no failure.
        #[arg(long)]
        part: bool,
        /// The earlier one.
        before: PathBuf,
        /// The later one.
        after: PathBuf,
    },
    /// Shows the problems, one JSON object a line.
    List(Problems),
    /// Times each rung from a naive kernel to ours in turns, verified, and says what it gained; a status that is not 0 where one is wrong.
    Ladder(ladder::Options),
    /// Tries what kernels choose otherwise on this machine, verified and bit by bit, and keeps what is faster for `--tuned`.
    Tune(tune::Options),
    /// Shows the device's own time of every launch of one call.
    Launches { filters: Vec<String> },
    /// Draws the times of rows over the runs that this machine kept.
    History(History),
    /// Builds a commit and times it in turns with the working tree.
    Ab(Ab),
    /// Finds the commit that made a row slower.
    Bisect(Bisect),
    /// Shows what kernels become on a card that is not there: registers, spills, occupancy, lines for each request of a warp.
    #[cfg(feature = "inspect")]
    Inspect(crate::inspect::Inspect),
}

/// What a report is told.
#[derive(Args, Default)]
pub(crate) struct Report {
    /// Two cases of each operation, shorter turns, no flushed caches.
    #[arg(long)]
    pub quick: bool,
    /// Ours alone at every case, shorter turns, no flushed caches, no ceilings and no peers: what `ab` times.
    #[arg(long, conflicts_with_all = ["quick", "torch", "compiled"])]
    pub short: bool,
    /// Keep this run out of the history.
    #[arg(long)]
    pub no_history: bool,
    /// The folder to write to.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The interpreter that has PyTorch; else `python3`, if it has it.
    #[arg(long, value_name = "PYTHON")]
    pub torch: Option<String>,
    /// PyTorch's compiled functions beside its eager ones.
    #[arg(long)]
    pub compiled: bool,
    /// Time for more turns of rows that cannot be told, in the whole run: 90s, 5m, 1h30m.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub budget: Option<Duration>,
    /// Choose as `tune` found to be faster on this device, or as another table says; such a run is kept out of the history. So does
    /// GHOSTLIGHT_TUNED=1, or =FILE.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub tuned: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub problems: Problems,
}

impl Report {
    /// Where this run is kept, unless nobody wants that or it is not `found`; the latter is told, and no reason to measure nothing.
    pub fn store(&self, found: impl FnOnce() -> Result<Store, StoreError>) -> Option<Store> {
        if self.no_history {
            return None;
        }
        let store = found();
        if let Err(error) = &store {
            eprintln!("warning: this run will not be kept: {error}");
        }
        store.ok()
    }
}

/// A time as people write it.
fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => {
            Err("no time at all; leave the option out where rows are to be looked at once".into())
        }
        Ok(time) => Ok(time),
        Err(error) => Err(format!(
            "{error}; write a number with its unit: 90s, 5m, 1h30m"
        )),
    }
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
    go_to_the_user()?;
    // `cargo bench` adds `--bench` to what it passes on.
    let words: Vec<String> = env::args().filter(|word| word != "--bench").collect();
    let first = words.get(1).map_or("", String::as_str);
    // One that this build lacks is clap's to refuse, not criterion's to filter by.
    let others = ["inspect", "help", "--help", "-h"];
    let is_command = Line::command().find_subcommand(first).is_some() || others.contains(&first);
    if !is_command {
        return criterion_then_report(families, &words[1..]);
    }
    match Line::parse_from(&words).command {
        Command::Report(options) => {
            let session = Session::new(families, &options.problems)?;
            let refused = session.report(
                &options,
                options.quick,
                options.store(Store::of_this_user).as_ref(),
            )?;
            return Ok(passed(refused == 0));
        }
        Command::Compare {
            part,
            before,
            after,
        } => {
            // The figures of kernels on a card that is not there are compared as such.
            if let (Ok(before), Ok(after)) = (Table::read(&before), Table::read(&after)) {
                return Ok(compare_shapes(&before, &after));
            }
            let comparison = compare(&Results::read(&before)?, &Results::read(&after)?);
            println!("{comparison}");
            let faults = comparison.faults(part);
            for fault in &faults {
                println!("fails: {fault}");
            }
            return Ok(passed(faults.is_empty()));
        }
        Command::List(problems) => Session::new(families, &problems)?.list()?,
        Command::Ladder(options) => return Ok(passed(ladder::run(&options)? == 0)),
        Command::Tune(options) => {
            let session = Session::new(families, &options.problems)?;
            return Ok(passed(tune::run(&session, &options)? == 0));
        }
        Command::Launches { filters } => {
            Session::new(families, &Problems::of(&filters))?.launches()?;
        }
        Command::History(options) => history::run(&options)?,
        Command::Ab(options) => {
            if !options.clean {
                // A name that nothing has is told before minutes of building.
                Session::new(families, &Problems::of(&options.filter))?;
            }
            return Ok(passed(ab::ab(&options)?));
        }
        Command::Bisect(options) => {
            // Those commits may have what is gone by now.
            if let Err(error) = Session::new(families, &Problems::of(&options.filter)) {
                eprintln!("warning: in the working tree {error}");
            }
            return Ok(passed(ab::bisect(&options)?));
        }
        #[cfg(feature = "inspect")]
        Command::Inspect(options) => {
            let problems = Problems::of(&options.filters);
            return crate::inspect::run(&Session::new(families, &problems)?, &options);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what changed between two `gpu-shape.json`; a failure where something became worse than it may.
fn compare_shapes(before: &Table, after: &Table) -> ExitCode {
    let changes = changes(before, after);
    for change in &changes {
        println!("{change}");
    }
    println!("{} calls have other figures", changes.len());
    let faults = Card::of(&after.target).map_or(Vec::new(), |card| faults(before, after, card));
    for fault in &faults {
        println!("worse: {fault}");
    }
    passed(faults.is_empty())
}

/// Goes to the folder that `cargo xtask` was called in: cargo runs a bench in its package's, and the paths of a command line are the user's.
pub(crate) fn go_to_the_user() -> Result<(), String> {
    let Some(folder) = env::var_os("GHOSTLIGHT_FOLDER") else {
        return Ok(());
    };
    env::set_current_dir(&folder)
        .map_err(|error| format!("GHOSTLIGHT_FOLDER {}: {error}", folder.display()))
}

fn passed(all: bool) -> ExitCode {
    match all {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What `cargo bench -- FILTER` does.
fn criterion_then_report(
    families: &[Family],
    words: &[String],
) -> Result<ExitCode, Box<dyn Error>> {
    let line = CriterionLine::parse(words)?;
    let problems = Problems::of(&line.filters);
    let session = Session::new(families, &problems)?;
    let refused = session.criterion(&line)?;
    if !line.reports() {
        eprintln!(
            "the report beside other libraries: cargo xtask bench report, or cargo bench -- FILTER"
        );
        return Ok(passed(refused == 0));
    }
    let quick = session.phases.len() > FEW;
    let options = Report::default();
    let refused =
        refused + session.report(&options, quick, options.store(Store::of_this_user).as_ref())?;
    Ok(passed(refused == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, Input, Phase, Suite, SuiteError, values};
    use ghostlight_autodiff::Cost;
    use ghostlight_kernels::pointwise::activation::{Activation, activation};

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn a_budget_is_a_time_with_its_unit() {
        let budget = |text: &str| {
            let line = Line::try_parse_from(["bench", "report", "--budget", text]);
            match line.map(|line| line.command) {
                Ok(Command::Report(report)) => Ok(report.budget),
                Ok(_) => unreachable!("a report was asked for"),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(budget("5m"), Ok(Some(Duration::from_secs(300))));
        assert_eq!(budget("1h30m"), Ok(Some(Duration::from_secs(5400))));
        for (wrong, reason) in [
            ("5", "write a number with its unit: 90s, 5m, 1h30m"),
            ("soon", "write a number with its unit: 90s, 5m, 1h30m"),
            ("0s", "no time at all"),
        ] {
            let error = budget(wrong).expect_err(wrong);
            let told = format!("invalid value '{wrong}' for '--budget <TIME>'");
            assert!(error.contains(&told) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_no_operation_is_called_is_told_with_what_there_is() {
        let filters = ["nothing".to_string()];
        let problems = Problems::of(&filters);
        let error = Session::new(&[], &problems)
            .err()
            .expect("it matches nothing");
        assert!(
            error.to_string().contains("nothing is called `nothing`"),
            "{error}"
        );
    }

    /// A ReLU that is none.
    fn wrong(suite: &mut Suite) -> Result<(), SuiteError> {
        let relu = |v: &[Vec<f64>]| values(v[0].iter().map(|x| x.max(0.0)).collect());
        let (cost, inputs) = (Cost::traffic(8, 8, 4), vec![Input::random(1, &[8])]);
        let name = ["relu", "8", "forward"];
        suite.phase(Phase::new(name, cost, inputs, relu, |t| {
            Ok(vec![activation(&t[0], Activation::HardSwish)])
        }))
    }

    #[test]
    fn criterion_times_nothing_that_is_refused_and_says_how_much_that_was() {
        // Two filters, so that criterion leaves the test's own arguments alone.
        let words = ["relu", "forward"].map(String::from);
        let line = CriterionLine::parse(&words).expect("two filters");
        let problems = Problems::of(&line.filters);
        let session = Session::new(&[wrong], &problems).expect("a phase");
        assert_eq!(session.criterion(&line).expect("a run"), 1);
    }

    /// What a command line lists, of the depthwise catalogue, and of a problem that has no fields.
    fn listed(line: &str) -> Result<Vec<(String, Option<f64>)>, String> {
        fn convolutions(suite: &mut Suite) -> Result<(), SuiteError> {
            for case in suite.cases("depthwise", crate::catalogue::depthwise())? {
                let (name, inputs) = (case.name(), vec![Input::random(1, &[1])]);
                let none = |_: &[Vec<f64>]| Vec::new();
                let name = ["depthwise", &name, "forward"];
                suite.phase(
                    Phase::new(name, Cost::default(), inputs, none, |_| Ok(Vec::new()))
                        .point(case.sweep.clone()),
                )?;
            }
            Ok(())
        }
        let words: Vec<&str> = ["bench", "list"]
            .into_iter()
            .chain(line.split_whitespace())
            .collect();
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::List(problems) = line.command else {
            return Err("no list".into());
        };
        let families: [Family; 2] = [convolutions, wrong];
        let session = Session::new(&families, &problems).map_err(|error| error.to_string())?;
        let mut phases = Vec::new();
        let each = session.each(|phase| {
            phases.push((phase.line(), phase.sweep.map(|sweep| sweep.at)));
            Ok(())
        });
        each.map(|()| phases).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sweep_of_the_command_line_is_all_there_is() {
        let all = listed("").expect("the catalogue");
        let (first, _) = all[0].clone();
        let swept = listed("--sweep depthwise c=16..64*2 k=5").expect("a sweep");
        let ats: Vec<Option<f64>> = swept.iter().map(|(_, at)| *at).collect();
        assert_eq!(ats, [16.0, 32.0, 64.0].map(Some));
        assert!(
            swept[0].0.contains(" c16 ") && swept[0].0.contains(" k5 "),
            "{swept:?}"
        );
        let images = first.split(" c").next().expect("a case");
        assert!(
            swept.iter().all(|(line, _)| line.starts_with(images)),
            "{swept:?} like {first}"
        );
        assert_eq!(
            listed("c32 --sweep depthwise c=16..64*2")
                .expect("a filter")
                .len(),
            1
        );
        let error = listed("--sweep relu len=3").expect_err("it has no fields");
        assert!(
            error.contains("--sweep") && error.contains("`relu`"),
            "{error}"
        );
    }

    #[test]
    fn cases_of_a_file_come_beside_the_catalogue_or_instead_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mine.json");
        let case = r#"[{"op": "depthwise", "n": 1, "h": 7, "w": 9, "c": 5, "k": 3}]"#;
        std::fs::write(&file, case).expect("a file");
        let all = listed("").expect("the catalogue").len();
        let path = file.display();
        assert_eq!(
            listed(&format!("--cases {path}")).expect("both").len(),
            all + 1
        );
        let only = listed(&format!("--only-cases {path}")).expect("one");
        assert!(only.len() == 1 && only[0].0.contains("7x9"), "{only:?}");
        assert!(listed(&format!("--only-cases {path} --cases {path}")).is_err());
    }

    #[test]
    fn counting_counts_nothing_where_nothing_is_launched() {
        let ((), counts) = crate::count(|| ());
        assert_eq!((counts.launches, counts.allocations), (0, 0));
    }
}
