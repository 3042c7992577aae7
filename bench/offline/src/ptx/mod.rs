//! The PTX of a kernel, walked unit by unit, to see which addresses the units of a warp ask for at the same time, and how long one unit is
//! on its way. A profiler on a GPU calls the first *lines per request*.
//!
//! `program` reads the text as `instruction`s and makes `step`s of them, whose functions are in `alu` and `round`; `unit` takes one unit through
//! them, `requests` lines the units of a warp up and counts lines and banks, `hot` finds the loop that matters, `walk` does all of it for one launch.

mod alu;
mod hot;
mod instruction;
mod program;
mod requests;
mod round;
mod step;
mod unit;
mod walk;

pub use hot::Hot;
pub(crate) use instruction::Space;
pub use program::{Program, ProgramError};
pub(crate) use unit::{Memory, Request, Stop, Unit};
pub use walk::{Geometry, Walk};
