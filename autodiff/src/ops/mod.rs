//! The operations of `ghostlight-kernels` as differentiable functions, one file each.

mod batch_norm;
mod conv;
mod conv_norm;
mod cosine;
mod cross_entropy;
mod dkd;
mod dual_teacher;
mod global_average;
mod linear;

pub use batch_norm::{BatchNorm, Statistics};
pub use conv::Conv;
pub use conv_norm::ConvNorm;
pub use cosine::Cosine;
pub use cross_entropy::CrossEntropy;
pub use dkd::Dkd;
pub use dual_teacher::DualTeacher;
pub use global_average::GlobalAverage;
pub use linear::Linear;
