//! Convolutions over `[n, h, w, c]`.

pub mod dense;
pub mod depthwise;
pub mod grouped;
