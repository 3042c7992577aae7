//! One finished run, as `compare` reads it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::error::Reason;
use crate::run::RunDir;
use crate::summary::{DataUsed, Gain, Summary};
use ghostlight_kernels::planted;

/// Figures in a summary are the matrices' own, written with all their digits.
const ROUNDING: f64 = 1e-9;

/// A finished run with all that a comparison needs of it.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    /// Its folder.
    pub path: PathBuf,
    /// What it came to.
    pub summary: Summary,
    /// Its recipe without the seed, a value for each key.
    pub recipe: BTreeMap<String, String>,
    /// Its epochs.
    pub epochs: Vec<Epoch>,
}

/// What is drawn of one epoch of one training. A value that is not a number has none in JSON.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Epoch {
    /// The network's name in files.
    pub phase: String,
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss over the training images.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// Share of training images predicted right while learning from them.
    #[serde(default)]
    pub train_accuracy: Option<f64>,
    /// Share of validation images predicted right after the epoch.
    #[serde(default)]
    pub validation_accuracy: Option<f64>,
    /// Mean loss over the validation images after the epoch.
    #[serde(default)]
    pub validation_loss: Option<f64>,
}

impl FinishedRun {
    /// Reads the run in `path` and requires that its summary agrees with its confusion matrices.
    ///
    /// # Errors
    /// In order: [`Reason::Unreadable`], [`Reason::Unfinished`], [`Reason::Contradiction`].
    pub fn read(path: &Path) -> Result<Self, Reason> {
        let unreadable = |reason: &dyn std::fmt::Display| Reason::Unreadable {
            reason: reason.to_string(),
        };
        let run = RunDir::open(path).map_err(|error| unreadable(&error))?;
        let summary: Option<Summary> = run.summary().map_err(|error| unreadable(&error))?;
        let summary = summary.ok_or_else(|| Reason::Unfinished { run: path.into() })?;
        let text = |path: &Path| {
            fs::read_to_string(path).or_else(|reason| match reason.kind() {
                ErrorKind::NotFound => Ok(String::new()),
                _ => Err(unreadable(&format!("{}: {reason}", path.display()))),
            })
        };
        let recipe_path = run.recipe_path();
        let recipe: toml::Table = text(&recipe_path)?
            .parse()
            .map_err(|reason| unreadable(&format!("{}: {reason}", recipe_path.display())))?;
        let epochs = text(&path.join("metrics.jsonl"))?;
        let epochs = epochs
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        if !planted::is("summary_taken_at_its_word") {
            check(path, &summary)?;
        }
        Ok(Self {
            path: path.into(),
            recipe: without_seed(recipe),
            epochs: epochs.collect(),
            summary,
        })
    }

    /// Requires the images of the `first` run. Synthetic ones are drawn from the seed: those of another seed are other images of the
    /// same kind.
    pub(super) fn check_data(&self, first: &FinishedRun) -> Result<(), Reason> {
        let (data, wanted) = (&self.summary.data, &first.summary.data);
        let drawn = data.name == "synthetic" && wanted.name == "synthetic";
        let redrawn = drawn && self.summary.seed != first.summary.seed;
        let alike = DataUsed {
            name: wanted.name.clone(),
            fingerprint: match redrawn {
                true => wanted.fingerprint.clone(),
                false => data.fingerprint.clone(),
            },
            ..data.clone()
        };
        match alike == *wanted {
            true => Ok(()),
            false => Err(Reason::OtherData {
                data: Box::new(data.clone()),
                first: Box::new(wanted.clone()),
                path: first.path.clone(),
            }),
        }
    }

    /// The comparison of the network `taught` with the same network alone.
    pub(super) fn gain(&self, taught: &str) -> Option<&Gain> {
        self.summary.gains.iter().find(|gain| gain.taught == taught)
    }
}

/// Every key of a recipe with its value as TOML, but the seed.
fn without_seed(recipe: toml::Table) -> BTreeMap<String, String> {
    fn leaves(key: String, value: Value, into: &mut BTreeMap<String, String>) {
        let under = |name: &str| match key.as_str() {
            "" => name.to_string(),
            key => format!("{key}.{name}"),
        };
        match value {
            Value::Table(table) => {
                for (name, value) in table {
                    leaves(under(&name), value, into);
                }
            }
            Value::Array(values) if values.iter().any(Value::is_table) => {
                for (place, value) in values.into_iter().enumerate() {
                    leaves(under(&(place + 1).to_string()), value, into);
                }
            }
            value => _ = into.insert(key, value.to_string()),
        }
    }
    let mut found = BTreeMap::new();
    leaves(String::new(), Value::Table(recipe), &mut found);
    found.remove("seed");
    found
}

/// Requires that a summary's figures are those of its matrices.
fn check(path: &Path, summary: &Summary) -> Result<(), Reason> {
    let refuse = |what: String, said: String, counted: String| {
        Err(Reason::Contradiction {
            run: path.into(),
            what,
            said,
            counted,
        })
    };
    let (classes, images) = (summary.data.classes.len(), summary.data.test);
    for network in &summary.networks {
        let (name, confusion) = (&network.name, &network.confusion);
        if confusion.classes() != classes {
            let (what, found) = ("the number of classes".into(), confusion.classes());
            return refuse(what, classes.to_string(), format!("{found} of {name}"));
        }
        if confusion.total() != images as u64 {
            let (what, found) = ("the number of test images".into(), confusion.total());
            return refuse(what, images.to_string(), format!("{found} of {name}"));
        }
        for (figure, said, counted) in [
            ("accuracy", network.accuracy, confusion.accuracy()),
            (
                "macro_precision",
                network.macro_precision,
                confusion.macro_precision(),
            ),
            (
                "macro_recall",
                network.macro_recall,
                confusion.macro_recall(),
            ),
        ] {
            if (said - counted).abs() > ROUNDING {
                let what = format!("{figure} of {name}");
                return refuse(what, said.to_string(), counted.to_string());
            }
        }
    }
    for gain in &summary.gains {
        let correct = |name: &str| {
            let mut networks = summary.networks.iter();
            let network = networks.find(|network| network.name == name)?;
            Some(network.confusion.correct() as i128)
        };
        let counted = correct(&gain.taught).zip(correct(&gain.alone));
        let counted = counted.map(|(taught, alone)| taught - alone);
        let said = i128::from(gain.only_taught) - i128::from(gain.only_alone);
        if counted != Some(said) {
            let what = format!("the gain of {} over {}", gain.taught, gain.alone);
            let counted = counted.map_or("of no such networks".into(), |it| format!("{it} images"));
            return refuse(what, format!("{said} images"), counted);
        }
    }
    Ok(())
}
