//! What Ghostlight's kernels become on a GPU that is not there.
//!
//! CubeCL compiles a kernel from its definition and a device's properties alone. So a device that pretends to be a card ([`Device`], behind
//! the feature `compile`) sees every launch as that card would, computes nothing, and keeps the PTX that its driver would be handed.
//! NVIDIA's own assembler ([`Toolkit`]) says what it takes of registers, [`Walk`] how its units ask for memory, [`Occupancy`] how many fit
//! a card of the list [`CARDS`].
//!
//! Nothing here is a time. Latency, caches and launch overhead are out of sight, and the one cube that is walked stands for all.
#![deny(missing_docs)]

mod card;
mod change;
#[cfg(feature = "compile")]
mod device;
pub mod gate;
mod occupancy;
pub mod page;
mod ptx;
pub mod run;
mod shape;
mod toolkit;

pub use card::{CARDS, Card};
pub use change::{Change, changes};
#[cfg(feature = "compile")]
pub use device::{CompileError, Device, Kernel, Launch, Module, interpreter};
pub use occupancy::{Limit, Occupancy, WARP};
pub use ptx::{Geometry, Hot, Program, ProgramError, Walk};
pub use shape::{Built, FORMAT, Halves, Row, Shape, Table, TableError, name};
pub use toolkit::{ToolError, Toolkit, Usage};
