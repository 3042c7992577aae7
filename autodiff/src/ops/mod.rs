//! The operations of `ghostlight-kernels` as differentiable functions, one file each.

mod adaptive_average;
mod average_pool;
mod batch_norm;
mod bilinear;
mod conv;
mod conv_norm;
mod cross_entropy;
mod dkd;
mod global_average;
mod linear;
mod max_pool;

pub use adaptive_average::AdaptiveAverage;
pub use average_pool::AveragePool;
pub use batch_norm::{BatchNorm, Statistics};
pub use bilinear::Bilinear;
pub use conv::Conv;
pub use conv_norm::ConvNorm;
pub use cross_entropy::CrossEntropy;
pub use dkd::Dkd;
pub use global_average::GlobalAverage;
pub use linear::Linear;
pub use max_pool::MaxPool;
