//! A minimal reverse-mode engine on the kernels of `ghostlight-kernels`.
//!
//! A [`Tape`] records, and a [`Var`] is a tensor that knows where it was recorded. [`Function`] is the single extension point: its
//! forward pass returns an output with what it saves, its backward pass maps the output's gradient to the inputs'.
//!
//! What is saved is freed as the backward pass consumes it. A [`Var`] that needs no gradient records nothing, so that inference costs
//! no tape.
//!
//! **First order only**: a backward pass works on tensors and is not recorded. A gradient of a gradient (a Hessian, a gradient
//! penalty) has to be written as an operation of its own.
//!
//! The tape refuses nonsense by name: a gradient that is missing, superfluous or of another shape or element type, and a [`Var`] of
//! another tape or of a pass that has ended.
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
