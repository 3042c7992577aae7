//! `ghostlight compare`: finished runs side by side.
//!
//! [`compare`] reads each run's `summary.json`, `recipe.toml` and `metrics.jsonl`. Runs whose recipes differ in nothing but the seed are
//! one [`Experiment`]: its figures are means over the seeds with their deviation, and a taught student's difference to the same network
//! alone is taken seed by seed. Of runs with other images nothing is compared: one that was named is refused, one that was found in a
//! folder is set apart, by name and with the reason.
//!
//! ```text
//! run.rs         one finished run, read and held against its own confusion matrices
//! experiment.rs  the runs of one recipe together
//! spread.rs      mean, deviation and Student's interval over seeds
//! page.rs        the page; its tables are in tables.rs
//! markdown.rs    the tables as Markdown, and the words that the command line has in common with them
//! ```

mod error;
mod experiment;
mod markdown;
mod page;
mod run;
mod spread;
mod tables;

pub use error::{CompareError, Reason, SetApart};
pub use experiment::{Compared, Curve, CurveValue, Difference, Experiment, Over, Ratio, RunOfSeed};
pub use markdown::markdown;
pub(crate) use markdown::{gain, percent};
pub use page::render;
pub use run::{Epoch, FinishedRun};
pub use spread::Spread;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::run::RunError;
use crate::summary::DataUsed;

/// Runs side by side.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The images that all of them learned from and were tested on, as the first run has them.
    pub data: DataUsed,
    /// The recipes, in the order of their first runs.
    pub experiments: Vec<Experiment>,
    /// The runs found in a folder that cannot be compared with the first.
    #[serde(serialize_with = "as_text")]
    pub set_apart: Vec<SetApart>,
}

fn as_text<S: serde::Serializer>(apart: &[SetApart], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(apart.iter().map(|it| {
        let (run, reason) = (it.run.display().to_string(), it.reason.to_string());
        std::collections::BTreeMap::from([("run", run), ("reason", reason)])
    }))
}

/// Reads and compares `paths`, each a run or a folder of runs. A run that is there twice counts once.
///
/// # Errors
/// In the order of the paths: [`CompareError::Run`] for one that cannot be listed, [`CompareError::NoRuns`],
/// [`CompareError::Refused`] for a run that was named and cannot be compared. Then [`CompareError::NoneLeft`].
pub fn compare(paths: &[PathBuf]) -> Result<Comparison, CompareError> {
    let mut groups: Vec<Vec<FinishedRun>> = Vec::new();
    let mut apart = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let named = is_run(path);
        for folder in runs_in(path)? {
            let place = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
            if !seen.insert(place) {
                continue;
            }
            let Err(reason) = take(&folder, &mut groups) else {
                continue;
            };
            let run = folder;
            match named {
                true => return Err(CompareError::Refused(SetApart { run, reason })),
                false => apart.push(SetApart { run, reason }),
            }
        }
    }
    let Some(first) = groups.first().and_then(|runs| runs.first()).cloned() else {
        return Err(CompareError::NoneLeft { apart });
    };
    for runs in &mut groups {
        runs.sort_by_key(|run| run.summary.seed);
    }
    let experiments = groups.iter();
    let experiments = experiments.map(|runs| Experiment::of(label(runs, &groups), runs, &first));
    Ok(Comparison {
        experiments: experiments.collect(),
        data: first.summary.data,
        set_apart: apart,
    })
}

fn is_run(path: &Path) -> bool {
    path.join("recipe.toml").is_file()
}

/// The run in `path`, or the runs in the folders in it, by name.
fn runs_in(path: &Path) -> Result<Vec<PathBuf>, CompareError> {
    if is_run(path) {
        return Ok(vec![path.into()]);
    }
    let io = |reason| RunError::Io {
        action: "read",
        path: path.into(),
        reason,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let folder = entry.map_err(io)?.path();
        if is_run(&folder) {
            found.push(folder);
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(CompareError::NoRuns { path: path.into() }),
        false => Ok(found),
    }
}

/// Reads the run in `folder` and puts it to those of its recipe.
fn take(folder: &Path, groups: &mut Vec<Vec<FinishedRun>>) -> Result<(), Reason> {
    let run = FinishedRun::read(folder)?;
    if let Some(first) = groups.first().map(|runs| &runs[0]) {
        run.check_data(first)?;
    }
    let Some(group) = groups.iter_mut().find(|runs| runs[0].recipe == run.recipe) else {
        groups.push(vec![run]);
        return Ok(());
    };
    let networks = |run: &FinishedRun| -> Vec<String> {
        let networks = run.summary.networks.iter();
        let networks = networks.map(|it| format!("{} {} of {}", it.name, it.arch, it.params));
        networks.collect()
    };
    let (found, wanted) = (networks(&run), networks(&group[0]));
    if found != wanted {
        let other = group[0].path.clone();
        return Err(Reason::OtherNetworks {
            other,
            found,
            wanted,
        });
    }
    let mut others = group.iter();
    if let Some(other) = others.find(|it| it.summary.seed == run.summary.seed) {
        return Err(Reason::Twice {
            seed: run.summary.seed,
            other: other.path.clone(),
        });
    }
    group.push(run);
    Ok(())
}

/// The folder that tells an experiment from the others: the one that holds all of its runs and no other's, or its first run's own.
fn label(runs: &[FinishedRun], groups: &[Vec<FinishedRun>]) -> String {
    let parent = runs[0].path.parent();
    let inside = |run: &&FinishedRun| run.path.parent() == parent;
    let shared = groups.iter().flatten().filter(inside).count() == runs.len();
    let own = runs.len() > 1 && runs.iter().all(|run| inside(&run)) && shared;
    let folder = parent.filter(|parent| own && !parent.as_os_str().is_empty());
    folder.unwrap_or(&runs[0].path).display().to_string()
}

#[cfg(test)]
mod tests;
