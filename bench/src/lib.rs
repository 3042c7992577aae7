//! Measurements of Ghostlight: single operations beside other libraries and the device's limits, whole training and inference
//! steps, and where their time goes.
#![deny(missing_docs)]

mod ab;
pub mod catalogue;
mod ceilings;
mod cli;
mod clock;
pub mod compare;
mod contender;
mod counts;
mod criterion_line;
mod flush;
mod gauges;
mod history;
mod input;
#[cfg(feature = "inspect")]
mod inspect;
pub mod ladder;
mod launches;
mod locked;
mod machine;
mod naive;
mod network;
pub mod peers;
mod phase;
mod problems;
mod profile;
pub mod report;
pub mod results;
mod run;
mod session;
pub mod stats;
pub mod step;
mod suite;
mod sweep;
mod time_limited;
mod tune;
mod turn;
pub mod verify;

pub use cli::main;
pub use clock::DeviceTime;
pub use contender::{Call, Contender, Peer, Task, Variant};
pub use counts::{Counts, count};
pub use flush::Flush;
pub use gauges::Gauges;
pub use input::{Content, DTYPE, Input, Operands, draw};
pub use launches::launches;
pub use naive::NaiveConv;
pub use phase::{Phase, values};
pub use profile::{Line, Profile};
pub use run::{Budget, Effort, Outcome, Runner};
pub use suite::{Case, Extra, Family, Suite, SuiteError, about};
pub use turn::{Turn, order};
pub use verify::{Effect, Expected, Verified};
