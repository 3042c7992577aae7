//! Matrix products.

pub mod gemm;
pub(crate) mod implicit;
pub(crate) mod panels;
