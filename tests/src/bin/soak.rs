//! `cargo xtask soak`: random problems of every operation, as many as there is time for.

use clap::Parser;
use ghostlight_tests::soak::{Failure, OPERATIONS, Soak, page};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Checks random problems of every operation: value, adjointness and gradient against the f64 reference. Ctrl-C ends it with the count so far.
#[derive(Parser)]
#[command(name = "cargo xtask soak")]
struct Arguments {
    /// Operations: one by its name, or all that have this in theirs
    #[arg(default_value = "")]
    filter: String,
    /// Ends after so many problems
    #[arg(long, value_name = "N")]
    cases: Option<u64>,
    /// Ends after so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Draws the problems of an earlier run again; a fresh one where it is left out
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Checks this problem of each operation alone
    #[arg(long, value_name = "I", conflicts_with_all = ["cases", "minutes", "write"])]
    case: Option<u64>,
    /// Writes what was counted to docs/results/soak.md
    #[arg(long)]
    write: bool,
    /// Shows the operations
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        OPERATIONS
            .iter()
            .for_each(|operation| println!("{}", operation.name));
        return ExitCode::SUCCESS;
    }
    let fresh = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64 % 1_000_000_007)
    };
    let seed = arguments.seed.unwrap_or_else(fresh);
    let mut soak = match Soak::new(seed, &arguments.filter) {
        Ok(soak) => soak,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::from(2);
        }
    };
    // What is caught is told with the problem.
    std::panic::set_hook(Box::new(|_| ()));
    let failed = |name: &str, failure: &Failure| {
        let Failure {
            case, words, found, ..
        } = failure;
        println!(
            "{name} fails, and at its smallest: {words}\n{found}\nrepeat it with: cargo xtask soak --seed {seed} --case {case} {name}\n"
        );
    };
    if let Some(case) = arguments.case {
        soak.again(case, failed);
    } else {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        if let Err(reason) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
            eprintln!("Ctrl-C will end this without a count: {reason}");
        }
        let mut told = 0;
        let go_on = |soak: &Soak| {
            let (problems, seconds) = (soak.problems(), soak.seconds());
            if seconds >= told + 10 {
                told = seconds;
                let failures = soak.failures();
                eprintln!("soak: {problems} problems in {seconds} s, {failures} failing");
            }
            let enough = arguments.cases.is_some_and(|cases| problems >= cases);
            let late = arguments
                .minutes
                .is_some_and(|minutes| seconds as f64 >= 60.0 * minutes);
            !(enough || late || stop.load(Ordering::Relaxed))
        };
        soak.run(go_on, failed);
    }
    for (operation, count) in &soak.counts {
        println!(
            "{:24} {:9} problems, {} failing",
            operation.name, count.problems, count.failures
        );
    }
    let (problems, failures) = (soak.problems(), soak.failures());
    println!(
        "{problems} problems in {} s, seed {seed}: {failures} failing",
        soak.seconds()
    );
    if arguments.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results/soak.md");
        if let Err(error) = std::fs::write(path, page(&soak)) {
            eprintln!("error: docs/results/soak.md: {error}");
            return ExitCode::FAILURE;
        }
    }
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
