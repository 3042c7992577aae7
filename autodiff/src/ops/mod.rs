//! The operations of `ghostlight-kernels` as differentiable functions, one file each.

mod adaptive_average;
mod average_pool;
mod batch_norm;
mod bilinear;
mod conv;
mod conv_norm;
mod cosine;
mod cross_entropy;
mod depthwise;
mod dkd;
mod dual_teacher;
mod flip_align;
mod ghost;
mod global_average;
mod grouped_conv;
mod linear;
mod max_pool;

pub use adaptive_average::AdaptiveAverage;
pub use average_pool::AveragePool;
pub use batch_norm::{BatchNorm, Statistics};
pub use bilinear::Bilinear;
pub use conv::Conv;
pub use conv_norm::ConvNorm;
pub use cosine::Cosine;
pub use cross_entropy::CrossEntropy;
pub use depthwise::Depthwise;
pub use dkd::Dkd;
pub use dual_teacher::DualTeacher;
pub use flip_align::FlipAlign;
pub use ghost::Ghost;
pub use global_average::GlobalAverage;
pub use grouped_conv::GroupedConv;
pub use linear::Linear;
pub use max_pool::MaxPool;
