use std::path::PathBuf;

use crate::run::RunError;
use crate::summary::DataUsed;

/// Why runs could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A folder that cannot be listed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Neither a run nor a folder of runs.
    #[error(
        "there is no run in {}, nor in the folders in it: a run's folder holds a recipe.toml; give those that `distill` made",
        path.display()
    )]
    NoRuns {
        /// The folder.
        path: PathBuf,
    },
    /// A run that was named cannot be compared with the others.
    #[error("{0}")]
    Refused(SetApart),
    /// None of the runs in the folders that were named can be compared.
    #[error("no run is left to compare: {}", list(apart))]
    NoneLeft {
        /// All of them.
        apart: Vec<SetApart>,
    },
}

/// A run that is not compared with the others.
#[derive(Debug, thiserror::Error)]
#[error("the run in {} {reason}", run.display())]
pub struct SetApart {
    /// Its folder.
    pub run: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why a run is not compared with the others, and what would change that.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It has no summary yet.
    #[error("is not finished: go on with it by `ghostlight distill --out {} --resume`, or leave it out", run.display())]
    Unfinished {
        /// Its folder.
        run: PathBuf,
    },
    /// A file of it cannot be understood.
    #[error(
        "cannot be read ({reason}): if an older version wrote it, train it anew, or leave it out"
    )]
    Unreadable {
        /// The file and what is wrong with it.
        reason: String,
    },
    /// Its summary contradicts itself.
    #[error(
        "has a summary.json that contradicts itself: {what} is {said}, but by the confusion matrices {counted}; write it anew by \
         `ghostlight distill --out {} --resume`", run.display()
    )]
    Contradiction {
        /// Its folder.
        run: PathBuf,
        /// What is said twice.
        what: String,
        /// As it stands there.
        said: String,
        /// As the matrices have it.
        counted: String,
    },
    /// It was trained on other images than the first run.
    #[error("{}; compare runs on the same images", difference(data, first, path))]
    OtherData {
        /// Its images.
        data: Box<DataUsed>,
        /// Those of the first run.
        first: Box<DataUsed>,
        /// The first run's folder.
        path: PathBuf,
    },
    /// A run with the same recipe and seed is there already.
    #[error(
        "has the recipe and the seed of {}, {seed}: the same twice says nothing about seeds; train one with another --seed, or leave it out",
        other.display()
    )]
    Twice {
        /// The seed.
        seed: u64,
        /// The folder of the other run.
        other: PathBuf,
    },
    /// Its networks are not those of the other runs with its recipe.
    #[error(
        "has the recipe of {}, but other networks ({}, not {}): train both with the same version, or leave one out",
        other.display(), found.join(", "), wanted.join(", ")
    )]
    OtherNetworks {
        /// The folder of the other run.
        other: PathBuf,
        /// Its networks.
        found: Vec<String>,
        /// The other's.
        wanted: Vec<String>,
    },
}

/// The first thing in which two runs' images differ, as a phrase.
fn difference(data: &DataUsed, first: &DataUsed, path: &std::path::Path) -> String {
    let path = path.display();
    let size = |it: &DataUsed| format!("{} x {}", it.height, it.width);
    let split = |it: &DataUsed| {
        let DataUsed {
            train,
            validation,
            test,
            ..
        } = it;
        format!("{train} training, {validation} validation and {test} test images")
    };
    if data.classes != first.classes {
        return format!(
            "has the classes {}, that in {path} {}",
            data.classes.join(", "),
            first.classes.join(", ")
        );
    }
    if size(data) != size(first) {
        return format!(
            "was trained on images of {} pixels, that in {path} on {} (data.image_size)",
            size(data),
            size(first)
        );
    }
    if split(data) != split(first) {
        return format!("has {}, that in {path} {}", split(data), split(first));
    }
    let short = |it: &DataUsed| it.fingerprint.chars().take(12).collect::<String>();
    format!(
        "was trained on other images ({}, fingerprint {}) than that in {path} ({}, fingerprint {})",
        data.name,
        short(data),
        first.name,
        short(first)
    )
}

fn list(apart: &[SetApart]) -> String {
    let all = apart.iter().map(ToString::to_string);
    all.collect::<Vec<_>>().join("; ")
}
