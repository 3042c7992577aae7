//! What the report and the comparison say of a run that was drawn from a seed.

mod comparison;
mod page;
mod sample;
mod text;
