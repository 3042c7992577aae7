//! Changing the size of images.

pub mod bilinear;
