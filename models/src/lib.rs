//! The model zoo, distillation methods, data, the training loop and the `ghostlight` command.
#![deny(missing_docs)]

pub mod command;
pub mod compare;
pub mod data;
pub mod distill;
pub mod map;
pub mod measure;
pub mod methods;
pub mod metrics;
pub mod nn;
pub mod paired;
pub mod profile;
mod random;
pub mod recipe;
pub mod report;
pub mod run;
pub mod summary;
pub mod train;
pub mod weights;
pub mod zoo;
