//! The PTX of a kernel, walked unit by unit, to see which addresses the units of a warp ask for at the same time, and how long one unit is
//! on its way. A profiler on a GPU calls the first *lines per request*.
//!
//! `program` reads the text as `instruction`s, `arithmetic` computes, `hot` finds the loop that matters, `unit` takes one unit through a program, `requests` lines the units of a warp up and
//! counts lines and banks, `walk` does all of it for one launch.

mod arithmetic;
mod hot;
mod instruction;
mod program;
mod requests;
mod unit;
mod walk;

pub use hot::Hot;
pub use program::{Program, ProgramError};
pub use walk::{Geometry, Walk};
