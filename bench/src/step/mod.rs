//! Whole steps of networks: training, distillation and inference, in turns with PyTorch and against the device's limits.

mod case;
mod cli;
mod page;
mod peer;
mod race;
mod row;
mod workload;

pub use case::{Case, Kind};
pub use cli::main;
pub use peer::TorchSteps;
pub use row::{Row, Steps};
pub use workload::Workload;

pub(crate) use case::parse;
