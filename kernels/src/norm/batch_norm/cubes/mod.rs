//! A batch norm's moments and the sums of its gradient on a GPU: a cube owns a run of pixels and a slice of the channels (`norm/runs.rs`).
//!
//! **Moments** are those of `stats.rs`, a unit in place of a block (`norm/moments.rs`). Units of a column add up their sums, which makes the
//! mean of the run known to all, and then their squares, with those of their own means' distances from it. The runs' moments are merged
//! the same way.
//!
//! **Partial sums** are added by cubes as well (`norm/partials.rs`).

mod moments;
mod sums;

pub(super) use moments::launch_batch_statistics;
pub(super) use sums::launch_sums;
