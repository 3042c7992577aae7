//! What a run of the bench says, for four readers: a page to look into, a document to publish, a table for the terminal, and one for a
//! spreadsheet.
//!
//! All take their figures from [`Results`] alone. Rows are only averaged with rows of the same clock and caches, a peer that has
//! no row leaves a blank, and a lost row is shown wherever a won one would be.

mod csv;
mod html;
mod machine;
mod markdown;
mod networks;
mod number;
mod summary;
mod terminal;
mod trust;

pub use csv::csv;
pub use html::html;
pub use markdown::markdown;
pub use networks::{NetworkSum, PeerSum, network_sums};
pub use summary::{Extreme, FAST, Setting, Summary, Tally, peers, settings, summaries};
pub use terminal::terminal;

pub(crate) use markdown::{cell, columns, facts, line};
pub(crate) use number::{bytes, error, percent, ratio, significant};
pub(crate) use summary::{distinct, geometric_mean};

#[cfg(doc)]
use crate::results::Results;
