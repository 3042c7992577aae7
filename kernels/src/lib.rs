//! Hand-written CubeCL kernels, forward and backward, one folder per operation.
//!
//! An operation folder begins with `mod.rs`: its design note, and the public functions, which validate and launch. `reference.rs` is the
//! same mathematics over `f64` slices, `cost.rs` counts the work. In a small folder `forward.rs` and `backward.rs` (or `grad_*.rs`) hold a
//! kernel with the host function that launches it right under it: read `norm/softmax` first. In a large one the kernel is spread over
//! files, and the note has a **map** that says which of them chooses, indexes, multiplies, stores and launches: `conv/dense`,
//! `conv/grouped`, `conv/depthwise`, `matmul/gemm`, `matmul/implicit` (all of the GPU's products), and those losses that have kernels of
//! their own.
//!
//! Tensors are NHWC with the channels innermost. Errors are returned before any launch; after the checks a launch cannot go out of
//! bounds. How fast an operation is beside other libraries stands in `docs/speed.md`, where a run renews it.
#![deny(missing_docs)]

mod abreast;
mod affine;
pub mod conv;
mod cost;
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
