//! Matrix products.

pub mod gemm;
