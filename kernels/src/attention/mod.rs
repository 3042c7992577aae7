//! Attention: what every position of a map takes from all others.

pub mod linear;
