//! Measurements of Ghostlight. The first page: whole training and inference steps, and where their time goes.
#![deny(missing_docs)]

mod profile;
mod step;

pub use profile::{Line, Profile};
pub use step::{Bench, Timing};
