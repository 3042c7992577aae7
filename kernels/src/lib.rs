//! Hand-written CubeCL kernels, forward and backward, one folder per operation.
//!
//! An operation folder begins with `mod.rs`: its design note, and the public functions, which validate and launch. `reference.rs` is the
//! same mathematics over `f64` slices, `cost.rs` counts the work. In a small folder `forward.rs` and `backward.rs` (or `grad_*.rs`) hold
//! a kernel with the host function that launches it right under it: read `norm/softmax` first. In a large one the kernel is spread over
//! files, and the note has a **map** that says which of them chooses, indexes, multiplies, stores and launches: `conv/dense`,
//! `conv/grouped`, `conv/depthwise`, `matmul/gemm`, `matmul/batched`, `matmul/implicit` (a GPU's convolutions),
//! `attention/softmax`, and those losses that have kernels of their own.
//!
//! Tensors are NHWC with the channels innermost. Errors are returned before any launch; after the checks a launch cannot go out of
//! bounds. How fast an operation is beside other libraries stands in `docs/speed.md`, where a run renews it.
//!
//! A NaN that goes in comes out, as in PyTorch: `clamp.rs` has the rule for maxima, minima, clamps and poolings, and what a gradient does.
//!
//! # How to read a kernel
//!
//! - `S` is the type that tensors store, `F` the one to compute in, which is wider where `S` has 16 bits; `_dtypes` says which they are.
//! - `N` is the number of lanes of a vector, `B` that of a buffer's item: `N`, or 1 where vectors may start at any element, as on a CPU.
//!   `load` and `store` of `lanes.rs` read and write a vector at an element's index in either case; `channel` is where a vector of a
//!   pixel's channels starts, the last of which is moved back to end with them.
//! - A [`Tensor`] may be a window of the channels of a larger one: a `View` says where its pixels start.
//! - A unit (a thread of a CPU, a lane of a GPU) owns the `run` of items from `ABSOLUTE_POS * run` on.
//! - `_unaligned` is never read. CubeCL's CPU runtime takes the alignment that all accesses of a launch may rely on from where its buffers
//!   start. This one starts off a vector's boundary, so that no access relies on one: `Lanes::unaligned` makes it.
//! - What is `comptime` is known when the kernel is compiled, and each of its values compiles another one.
//!
//! `pointwise/unary.rs` is the shortest, `norm/softmax` the first whole operation.
#![deny(missing_docs)]

mod affine;
pub mod attention;
mod cascade;
mod clamp;
mod columns;
pub mod conv;
mod cost;
pub mod counting;
mod dtype;
mod error;
pub mod ghost;
mod labels;
mod lanes;
mod later;
pub mod launch;
pub mod loss;
pub mod matmul;
mod memory;
pub mod norm;
pub mod optim;
#[doc(hidden)]
pub mod planted;
pub mod pointwise;
pub mod pool;
mod prologue;
pub mod resize;
mod row_per_lane;
mod share;
mod special;
mod staging;
mod taps;
mod team;
mod tensor;
pub mod tune;

pub use affine::Affine;
pub use clamp::Clamp;
pub use cost::{Cost, Work};
pub use cubecl::client::Client;
pub use dtype::DType;
pub use error::KernelError;
pub use labels::Labels;
pub use later::Later;
pub use prologue::Source;
pub use staging::{Staged, Staging};
pub use tensor::Tensor;
