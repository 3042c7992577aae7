//! The operations of `ghostlight-kernels` as differentiable functions, one file each.

mod batch_norm;
mod conv;
mod conv_norm;
mod cross_entropy;
mod distill;
mod dkd;
mod global_average;
mod kd;
mod linear;

pub use batch_norm::{BatchNorm, Statistics};
pub use conv::Conv;
pub use conv_norm::ConvNorm;
pub use cross_entropy::CrossEntropy;
pub use distill::Distill;
pub use dkd::Dkd;
pub use global_average::GlobalAverage;
pub use kd::Kd;
pub use linear::Linear;
