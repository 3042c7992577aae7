//! Matrix products.

pub mod batched;
pub mod gemm;
pub(crate) mod implicit;
pub(crate) mod panels;
pub(crate) mod turn;
