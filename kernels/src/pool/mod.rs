//! Pooling.

pub mod adaptive_average;
pub mod average;
mod bins;
pub mod global_average;
pub mod max;
mod windows;
