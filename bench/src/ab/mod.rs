//! A commit beside the working tree, timed in turns; and the commit that made a row slower.
//!
//! Two runs of the bench at different times were made on two machines, as far as clocks and caches go (`compare` guards against that). Here both
//! benches are built first, and whole short runs of them alternate, AB BA AB ...: each round is a pair, a drift of the machine cancels
//! in its ratio, and a process's own luck with its memory is part of the spread from which the interval comes.

mod bisect;
mod build;
mod error;
mod pair;
mod race;

use crate::history::short_commit;
use crate::machine;
use build::{Side, Workshop};
use clap::Args;
use error::AbError;
use race::Race;
use std::env;
use std::num::NonZeroUsize;

/// What `ab` is told.
#[derive(Args)]
pub(crate) struct Ab {
    /// The commit that the working tree is held against, as git names it.
    #[arg(required_unless_present = "clean")]
    rev: Option<String>,
    /// Parts of `op/phase/case`, all of which a phase must have.
    #[arg(required_unless_present = "clean")]
    pub filter: Vec<String>,
    /// Pairs of runs.
    #[arg(long, value_name = "N", default_value = "8")]
    rounds: NonZeroUsize,
    /// Remove the checkout that commits are built in, and their builds.
    #[arg(long, exclusive = true)]
    pub clean: bool,
}

/// What `bisect` is told.
#[derive(Args)]
pub(crate) struct Bisect {
    /// A commit that is fast.
    good: String,
    /// A later one that is slow.
    bad: String,
    /// Parts of `op/phase/case`, all of which a phase must have.
    #[arg(required = true)]
    pub filter: Vec<String>,
    /// How many times as long as in GOOD a row takes in a commit that is slow.
    #[arg(long, value_name = "RATIO", default_value_t = 1.05, value_parser = threshold)]
    threshold: f64,
    /// Pairs of runs of each commit; up to four times as many where they do not tell.
    #[arg(long, value_name = "N", default_value = "6")]
    rounds: NonZeroUsize,
}

fn threshold(text: &str) -> Result<f64, String> {
    let wrong = || {
        format!(
            "`{text}` is no ratio above 1: 1.05 looks for a commit that makes a row take 1.05 times as long"
        )
    };
    let ratio: f64 = text.parse().map_err(|_| wrong())?;
    match ratio > 1.0 && ratio.is_finite() {
        true => Ok(ratio),
        false => Err(wrong()),
    }
}

/// Times the commit beside the working tree. Returns whether the working tree's rows are all right.
///
/// # Errors
/// Those of the command line, of git, of a build and of a bench.
pub(crate) fn ab(options: &Ab) -> Result<bool, Box<dyn std::error::Error>> {
    let workshop = Workshop::here()?;
    if options.clean {
        workshop.clean()?;
        return Ok(true);
    }
    // This is the working tree's bench, which was just built.
    let b = Side {
        name: format!("the working tree ({})", short_commit(&machine::commit())),
        program: env::current_exe()?,
    };
    let rev = options.rev.as_deref().unwrap_or_default();
    let (text, passed) = against(&workshop, rev, &b, &options.filter, options.rounds.get())?;
    println!("{text}");
    Ok(passed)
}

/// Bisects. Returns whether one commit was found.
///
/// # Errors
/// Those of the command line, of git, of a build and of a bench.
pub(crate) fn bisect(options: &Bisect) -> Result<bool, Box<dyn std::error::Error>> {
    let workshop = Workshop::here()?;
    Ok(bisect::run(&workshop, options, &mut |line| {
        println!("{line}")
    })?)
}

/// A commit against `b`: the rows, and whether `b` had none refused.
fn against(
    workshop: &Workshop,
    rev: &str,
    b: &Side,
    filters: &[String],
    rounds: usize,
) -> Result<(String, bool), AbError> {
    let a = workshop.build(&workshop.commit(rev)?)?;
    let mut race = Race::new(&a, b, filters)?;
    race.run(rounds)?;
    let mut lines: Vec<String> = race.pairs.rows.iter().map(ToString::to_string).collect();
    lines.extend(race.pairs.blanks.iter().cloned());
    lines.push(format!(
        "{rounds} pairs of runs. A ratio is the time of {} over that of {}: above 1, the latter is faster.",
        a.name, b.name
    ));
    let refused = format!("refused in {}", b.name);
    let passed = race.pairs.blanks.iter().all(|it| !it.starts_with(&refused));
    Ok((lines.join("\n"), passed))
}

#[cfg(all(test, unix))]
mod tests;
