//! Measurements of Ghostlight: single operations beside PyTorch, whole training and inference steps, and where their time goes.
#![deny(missing_docs)]

pub mod catalogue;
pub mod compare;
mod launches;
mod ops;
mod peer;
mod profile;
pub mod report;
pub mod results;
mod step;

pub use launches::launches;
pub use ops::{Ops, Turn};
pub use peer::Peer;
pub use profile::{Line, Profile};
pub use step::{Bench, Timing};
