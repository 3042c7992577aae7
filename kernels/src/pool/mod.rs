//! Pooling.

pub mod global_average;
