//! The model zoo, distillation methods, data, the training loop and the `ghostlight` command.
#![deny(missing_docs)]

pub mod data;
pub mod metrics;
pub mod nn;
mod random;
pub mod recipe;
pub mod report;
pub mod run;
pub mod zoo;
