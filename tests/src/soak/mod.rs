//! Random problems of every operation, as many as there is time for: the table of `operations`, a [`Draw`] for each problem, and the [`Soak`]
//! that counts, and shrinks what fails.

mod draw;
mod operations;
mod page;
mod run;

pub use draw::{Draw, Problem};
pub use operations::{OPERATIONS, Operation};
pub use page::page;
pub use run::{Count, Failure, Soak};
