//! The PTX of a kernel, walked unit by unit, to see which addresses the units of a warp ask for at the same time, and how long one unit is
//! on its way. A profiler on a GPU calls the first *lines per request*.
//!
//! `program` reads the text as `instruction`s and makes `step`s of them, whose functions are in `alu`, `integer`, `convert` and `round`; `unit` takes one unit through
//! them, `requests` lines the units of a warp up and counts lines and banks, `hot` finds the loop that matters, `walk` does all of it for one launch.

/// A function of 16-, 32- and 64-bit integers, for the width that an instruction has.
macro_rules! sized {
    ($bits:expr, $name:ident) => {
        match $bits {
            8 => $name::<8>,
            16 => $name::<16>,
            32 => $name::<32>,
            64 => $name::<64>,
            _ => return None,
        }
    };
}

mod alu;
mod convert;
mod hot;
mod instruction;
mod integer;
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
