//! Whole short runs of two benches, in turns.

use super::build::Side;
use super::error::{AbError, last_lines};
use super::pair::Pairs;
use crate::history;
use crate::results::Results;
use std::process::{Command, Stdio};

/// What a bench is asked for: a short run, which older ones do not know, or a quick one.
const FLAGS: [&str; 2] = ["--short", "--quick"];

/// Two benches, timed at the same rows.
pub(super) struct Race<'a> {
    sides: [&'a Side; 2],
    filters: &'a [String],
    flag: &'static str,
    rounds: usize,
    /// What they took so far.
    pub pairs: Pairs,
}

impl<'a> Race<'a> {
    /// `a` against `b`; both are asked for the same.
    pub fn new(a: &'a Side, b: &'a Side, filters: &'a [String]) -> Result<Self, AbError> {
        let [short, quick] = FLAGS;
        let sides = [a, b];
        let mut flag = short;
        for side in sides {
            if !help(side)?.contains(short) {
                eprintln!(
                    "the bench of {} does not know `report {short}`: both are asked for `{quick}`, two cases of each operation",
                    side.name
                );
                flag = quick;
            }
        }
        Ok(Self {
            sides,
            filters,
            flag,
            rounds: 0,
            pairs: Pairs::default(),
        })
    }

    /// So many rounds more, which begin with each side in turn.
    pub fn run(&mut self, rounds: usize) -> Result<(), AbError> {
        for _ in 0..rounds {
            eprintln!("pair {} of {}", self.rounds + 1, self.sides[1].name);
            let [a, b] = self.sides;
            let [first, second] = match self.rounds % 2 {
                0 => [a, b],
                _ => [b, a],
            };
            let (first, second) = (self.measure(first)?, self.measure(second)?);
            let (a, b) = match self.rounds % 2 {
                0 => (first, second),
                _ => (second, first),
            };
            let names = self.sides.map(|side| side.name.as_str());
            self.pairs.add(names, &a, &b);
            self.rounds += 1;
        }
        match self.pairs.rows.is_empty() {
            true => Err(self.nothing()),
            false => Ok(()),
        }
    }

    /// That a row is not there.
    pub fn nothing(&self) -> AbError {
        let blanks: Vec<&str> = self.pairs.blanks.iter().map(String::as_str).collect();
        AbError::Nothing {
            filter: self.filters.join(" "),
            blanks: blanks.join("\n"),
        }
    }

    /// One run of a bench.
    fn measure(&self, side: &Side) -> Result<Results, AbError> {
        let folder = tempfile::tempdir().map_err(|source| AbError::File {
            path: std::env::temp_dir(),
            source,
        })?;
        let mut command = Command::new(&side.program);
        command
            .args(["report", self.flag, "--out"])
            .arg(folder.path())
            .args(self.filters)
            // An older bench that keeps its runs knows no flag against it.
            .env(history::VARIABLE, folder.path().join("history"))
            .stdin(Stdio::null());
        let output = command.output().map_err(|source| AbError::File {
            path: side.program.clone(),
            source,
        })?;
        // 1 is said where a row was refused, which its results tell.
        if !matches!(output.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&output.stderr);
            let unknown = said.contains("unexpected argument");
            return Err(AbError::Run {
                side: side.name.clone(),
                status: output.status.to_string(),
                said: last_lines(&said),
                advice: match unknown {
                    true => {
                        "\nits bench is too old to know what it is asked for: take a later commit"
                    }
                    false => "",
                },
            });
        }
        Results::read(&folder.path().join("results.json")).map_err(|error| AbError::Results {
            side: side.name.clone(),
            reason: error.to_string(),
        })
    }
}

/// What a bench says that a report can be told.
fn help(side: &Side) -> Result<String, AbError> {
    let output = Command::new(&side.program)
        .args(["report", "--help"])
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|source| AbError::File {
        path: side.program.clone(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
