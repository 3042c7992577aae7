//! Hand-written CubeCL kernels, forward and backward, one folder per operation.
//!
//! Every operation folder reads the same way: `mod.rs` validates, plans and launches; `forward.rs` and the `grad_*.rs` files hold
//! a kernel with the host function that launches it right under it; `reference.rs` is the same mathematics over `f64` slices;
//! `cost.rs` counts the work. Tensors are NHWC with the channels innermost. Errors are returned before any launch; after the
//! checks a launch cannot go out of bounds.
#![deny(missing_docs)]

mod abreast;
mod affine;
pub mod conv;
mod cost;
pub mod counting;
mod dtype;
mod error;
pub mod ghost;
mod labels;
mod lanes;
pub mod launch;
pub mod loss;
pub mod matmul;
mod memory;
pub mod norm;
pub mod optim;
mod planted;
pub mod pointwise;
pub mod pool;
pub mod resize;
mod special;
mod taps;
mod team;
mod tensor;

pub use affine::Affine;
pub use cost::Cost;
pub use cubecl::client::Client;
pub use dtype::DType;
pub use error::KernelError;
pub use labels::Labels;
pub use tensor::Tensor;
