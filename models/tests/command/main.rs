//! The `ghostlight` command as a person uses it: what it prints, what it leaves behind, and how it refuses.

mod bad_data;
mod bad_options;
mod compare;
mod disk;
mod folders;
mod inspect;
mod interruption;
mod map;
mod networks;
mod pictures;
mod questions;
mod recipes;
mod reference;
mod results;
mod resume;
mod sandbox;
mod teachers;
mod tuned;
