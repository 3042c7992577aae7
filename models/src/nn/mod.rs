//! Layers and the store that holds their parameters.
//!
//! A model declares its parameters by path while it is built, [`Store`] lays them out in flat buffers, and a [`Pass`] lends them to
//! the layers for one forward pass.

mod layers;
mod spec;
mod store;

pub use layers::{Conv, ConvNorm, Linear};
pub use spec::{Declarations, Init, Kind, Param, Path, Spec};
pub use store::{Store, StoreError};

use ghostlight_autodiff::{KernelError, Tape, Var};

/// Whether a forward pass trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, gradients recorded.
    Train,
    /// Running statistics, nothing recorded.
    Infer,
}

/// One forward pass: the tape, the parameters, and whether it trains.
pub struct Pass<'a> {
    /// Where operations run.
    pub tape: &'a Tape,
    /// The parameters.
    pub store: &'a Store,
    /// Train or infer.
    pub mode: Mode,
}

impl Pass<'_> {
    /// A parameter as a variable: a leaf when training, a constant otherwise.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn param(&self, param: Param) -> Result<Var, KernelError> {
        match self.mode {
            Mode::Train => self
                .tape
                .leaf(&self.store.value(param)?, &self.store.grad(param)?),
            Mode::Infer => Ok(Var::constant(self.store.value(param)?)),
        }
    }
}

/// A network from images to logits.
pub trait Model {
    /// Maps `x` `[n, h, w, 3]` to logits `[n, classes]`.
    ///
    /// # Errors
    /// Those of the kernels: an `x` of the wrong shape or element type.
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError>;
}

#[cfg(test)]
mod tests;
