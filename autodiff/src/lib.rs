//! A minimal reverse-mode engine on the kernels of `ghostlight-kernels`.
//!
//! A [`Tape`] records, a [`Var`] is a tensor with a place on it, and [`Function`] is the single extension point: its forward pass
//! returns an output with what it saves, its backward pass maps the output's gradient to the inputs'. What is saved is freed as
//! the backward pass consumes it; a [`Var`] that needs no gradient records nothing, so inference costs no tape.
//!
//! [`check`] holds the tools to verify an operation of your own: central differences and adjointness.
#![deny(missing_docs)]

pub mod check;
mod function;
mod observer;
pub mod ops;
mod optim;
mod tape;

pub use function::{Function, Gradients, Step};
pub use ghostlight_kernels::{Client, Cost, DType, KernelError, Labels, Tensor};
pub use observer::{Event, Observer, Phase};
pub use optim::{AdamW, Sgd};
pub use tape::{Tape, Var};
