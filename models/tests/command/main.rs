//! The `ghostlight` command as a person uses it: what it prints, what it leaves behind, and how it refuses.

mod bad_data;
mod bad_place;
mod bad_recipe;
mod desk;
mod interruption;
mod pictures;
mod questions;
mod reference;
mod resume;
mod results;
