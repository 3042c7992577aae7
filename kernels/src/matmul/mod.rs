//! Matrix products.

pub mod gemm;
pub(crate) mod implicit;
