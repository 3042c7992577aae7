use crate::suite::{Extra, SuiteError};
use clap::Args;
use std::path::PathBuf;

/// The problems that the command line asks for.
#[derive(Args, Default)]
pub(crate) struct Problems {
    /// A JSON list of problems beside those of the catalogue.
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// The same, instead of the catalogue.
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    only_cases: Option<PathBuf>,
    /// The convolutions of a network of the zoo, instead of the catalogue; may be told several times, as `resnet18:16:64`.
    #[arg(long, value_name = "ARCH:BATCH:SIZE")]
    network: Vec<String>,
    /// An operation with values of its fields, instead of the catalogue, of whose first problem the other fields are: `depthwise
    /// c=16..1024*2 k=3`. Filters stand before it.
    #[arg(long, value_names = ["OP", "FIELD=VALUES"], num_args = 2..)]
    sweep: Vec<String>,
    /// Parts of `op/phase/case`, all of which a phase must have.
    pub filters: Vec<String>,
}

impl Problems {
    /// The catalogue's that pass these filters.
    pub fn of(filters: &[String]) -> Self {
        Self {
            filters: filters.to_vec(),
            ..Self::default()
        }
    }

    /// What they are beside the catalogue, or instead of it; `ops` are all operations.
    ///
    /// # Errors
    /// A file, a network or a sweep that cannot be read.
    pub fn extra(&self, ops: &[String]) -> Result<Extra, SuiteError> {
        let extra = match (&self.cases, &self.only_cases) {
            (Some(path), _) => Extra::read(path, ops)?,
            (_, Some(path)) => Extra::read(path, ops)?.alone(),
            _ => Extra::default(),
        };
        extra.networks(&self.network)?.sweeps(&self.sweep, ops)
    }
}
