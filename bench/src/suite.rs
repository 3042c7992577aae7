//! The operations' problems, told one phase after another to whoever lists, verifies or times them.

use crate::catalogue;
use crate::network::Layers;
use crate::phase::Phase;
use crate::results::{Layer, Sweep};
use crate::sweep;
use ghostlight_autodiff::KernelError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A problem of an operation. Its fields are what peers are told, and what a file of cases gives.
pub trait Case: serde::Serialize + DeserializeOwned {
    /// What the problem is called, unlike every other of its operation.
    fn name(&self) -> String;

    /// What peers are told: the fields.
    fn arguments(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Why a suite ended early.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A problem cannot be made.
    #[error("{op} {case}: {source}")]
    Problem {
        /// The operation.
        op: String,
        /// The problem.
        case: String,
        /// What its operation said.
        source: Box<KernelError>,
    },
    /// A file of cases cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A network's problems cannot be told.
    #[error("--network {network}: {reason}")]
    Network {
        /// What was asked for.
        network: String,
        /// What is wrong.
        reason: String,
    },
    /// A sweep of the command line cannot be made.
    #[error("--sweep: `{sweep}`: {reason}")]
    Sweep {
        /// What was asked for.
        sweep: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of cases is no list of objects with an `op`.
    #[error("{}: {reason}; write a list like [{{\"op\": \"depthwise\", ...}}], with fields as `list` shows them", path.display())]
    Cases {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Problems beside those of the catalogue, or, where there are networks or sweeps, instead of them.
#[derive(Debug, Default)]
pub struct Extra {
    path: PathBuf,
    cases: Vec<(String, Value)>,
    networks: Vec<Layers>,
    sweeps: Vec<sweep::Line>,
    alone: bool,
}

impl Extra {
    /// Reads a JSON list of objects, each of which names its `op` and has the fields of that operation's cases.
    ///
    /// # Errors
    /// The file cannot be read, is no such list, or names an operation that is not among `ops`.
    pub fn read(path: &Path, ops: &[String]) -> Result<Self, SuiteError> {
        let text = std::fs::read_to_string(path).map_err(|source| SuiteError::File {
            path: path.into(),
            source,
        })?;
        let wrong = |reason: String| SuiteError::Cases {
            path: path.into(),
            reason,
        };
        let list: Vec<serde_json::Map<String, Value>> =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let mut cases = Vec::new();
        for (i, mut fields) in list.into_iter().enumerate() {
            let op = match fields.remove("op") {
                Some(Value::String(op)) => op,
                _ => return Err(wrong(format!("case {i} has no `op`"))),
            };
            if !ops.contains(&op) {
                let ops = ops.join(", ");
                return Err(wrong(format!("case {i} wants `{op}`; there are {ops}")));
            }
            cases.push((op, Value::Object(fields)));
        }
        Ok(Self {
            path: path.into(),
            cases,
            ..Self::default()
        })
    }

    /// These, and no other problem.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// The points of sweeps, and no problem of the catalogue.
    ///
    /// # Errors
    /// [`SuiteError::Sweep`].
    pub(crate) fn sweeps(mut self, words: &[String], ops: &[String]) -> Result<Self, SuiteError> {
        self.sweeps = sweep::Line::read(words, ops)?;
        Ok(self)
    }

    /// Whether the catalogue stays out.
    fn is_alone(&self) -> bool {
        self.alone || !self.networks.is_empty() || !self.sweeps.is_empty()
    }

    /// The convolutions of networks, each told as `ARCH:BATCH:SIZE`, and no other problem.
    ///
    /// # Errors
    /// [`SuiteError::Network`].
    pub fn networks(mut self, networks: &[String]) -> Result<Self, SuiteError> {
        for text in networks {
            let layers = Layers::of(text)?;
            for problem in &layers.problems {
                let case = (problem.op.to_string(), problem.arguments.clone());
                if !self.cases.contains(&case) {
                    self.cases.push(case);
                }
            }
            self.networks.push(layers);
        }
        Ok(self)
    }

    /// The networks that have the problem `case` of `op`.
    fn layers(&self, op: &str, case: &str) -> Vec<Layer> {
        match self.networks.is_empty() {
            true => catalogue::layers(op, case),
            false => self
                .networks
                .iter()
                .filter_map(|n| n.layer(op, case))
                .collect(),
        }
    }

    fn of<C: Case>(&self, op: &str) -> Result<Vec<C>, SuiteError> {
        let wanted = self
            .cases
            .iter()
            .enumerate()
            .filter(|(_, case)| case.0 == op);
        let made = wanted.map(|(i, (_, fields))| {
            serde_json::from_value(fields.clone()).map_err(|error| SuiteError::Cases {
                path: self.path.clone(),
                reason: format!("case {i} is no `{op}`: {error}"),
            })
        });
        made.collect()
    }
}

/// What the phases are told to.
type Visit<'v> = dyn FnMut(Phase) -> Result<(), SuiteError> + 'v;

/// Told the phases of every operation.
pub struct Suite<'v> {
    extra: &'v Extra,
    /// Operations that asked for their cases: any other has one problem, which is the catalogue's.
    asked: Vec<String>,
    /// Points of the user's sweeps, by operation and name.
    points: Vec<(String, String, Sweep)>,
    visit: &'v mut Visit<'v>,
}

impl<'v> Suite<'v> {
    /// A suite that hands every phase to `visit`.
    pub fn new(extra: &'v Extra, visit: &'v mut Visit<'v>) -> Self {
        Self {
            extra,
            asked: Vec::new(),
            points: Vec::new(),
            visit,
        }
    }

    /// The cases of `op`: those of the catalogue, unless the user wants others alone, and those of the user's file, networks and sweeps.
    ///
    /// # Errors
    /// A case of the file, or a point of a sweep, is none of this operation.
    pub fn cases<C: Case>(&mut self, op: &str, catalogue: Vec<C>) -> Result<Vec<C>, SuiteError> {
        self.asked.push(op.into());
        let base = catalogue.first().map(Case::arguments).unwrap_or_default();
        let mut cases = match self.extra.is_alone() {
            true => Vec::new(),
            false => catalogue,
        };
        cases.extend(self.extra.of(op)?);
        for sweep in self.extra.sweeps.iter().filter(|sweep| sweep.op == op) {
            for (fields, point) in sweep.points(&base)? {
                let case: C =
                    serde_json::from_value(fields).map_err(|error| SuiteError::Sweep {
                        sweep: op.into(),
                        reason: error.to_string(),
                    })?;
                self.points
                    .extend(point.map(|point| (op.into(), case.name(), point)));
                cases.push(case);
            }
        }
        Ok(cases)
    }

    /// Hands on a phase.
    ///
    /// # Errors
    /// What the visitor says.
    pub fn phase(&mut self, mut phase: Phase) -> Result<(), SuiteError> {
        if self.extra.is_alone() && !self.asked.iter().any(|op| op == phase.op) {
            return Ok(());
        }
        let mut points = self.points.iter();
        let point =
            points.find(|(op, case, _)| (op.as_str(), case.as_str()) == (phase.op, phase.case));
        if let Some((_, _, sweep)) = point {
            phase.sweep = Some(sweep.clone());
        }
        phase.layers = self.extra.layers(phase.op, phase.case);
        (self.visit)(phase)
    }
}

/// An operation's part of the suite.
pub type Family = fn(&mut Suite) -> Result<(), SuiteError>;

/// Names the problem in what an operation says about it.
pub fn about<'a>(op: &'a str, case: &'a str) -> impl Fn(KernelError) -> SuiteError + 'a {
    move |source| SuiteError::Problem {
        op: op.into(),
        case: case.into(),
        source: Box::new(source),
    }
}
