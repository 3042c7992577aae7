//! The PTX of a kernel, walked unit by unit, to see which addresses the units of a warp ask for at the same time, and how long one unit is
//! on its way. A profiler on a GPU calls the first *lines per request*.
//!
//! `program` reads the text, `arithmetic` computes, `unit` takes one unit through a program, `requests` lines the units of a warp up and
//! counts lines and banks, `walk` does all of it for one launch.

mod arithmetic;
mod program;
mod requests;
mod unit;
mod walk;

pub use program::{Hot, Program, ProgramError};
pub use walk::{Geometry, Walk};
