//! Layers and the store that holds their parameters.
//!
//! A model declares its parameters by path while it is built, [`Store`] lays them out in flat buffers, and a [`Pass`] lends them to
//! the layers for one forward pass.

mod layers;
mod randomness;
mod spec;
mod store;

pub use layers::{
    Act, BatchNorm, Conv, ConvNorm, ConvShape, Dropout, Flatten, GhostMix, GhostModule,
    InvertedResidual, LayerNorm, Linear, Map, Mlp, SqueezeExcite, concat, flatten, reshape,
};
pub use randomness::Randomness;
pub use spec::{Declarations, Init, Kind, Param, Path, Spec};
pub use store::{Store, StoreError};

use ghostlight_autodiff::{KernelError, Tape, Tensor, Var};
use std::cell::{OnceCell, RefCell};

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
    /// What chance decides in a training step. A pass without it drops nothing: inference, and training passes that are compared with
    /// others.
    pub randomness: Option<Randomness>,
    /// Whether a training step leaves a norm to the convolution that reads it: the same bits in fewer passes over memory.
    pub fused: bool,
    /// The stages that a caller asked for, and their values once the model has offered them.
    pub kept: RefCell<Kept>,
    /// What all batch norms scale by in inference, once one of them has asked.
    scales: OnceCell<Option<Tensor>>,
}

/// The outputs of stages that a caller wants beside the logits.
#[derive(Debug, Default)]
pub struct Kept {
    wanted: Vec<String>,
    found: Vec<(String, Var)>,
    offered: Vec<String>,
}

impl Kept {
    /// Nothing but the stages `wanted`.
    pub fn of(wanted: &[&str]) -> Self {
        Self {
            wanted: wanted.iter().map(|&name| name.to_string()).collect(),
            ..Self::default()
        }
    }

    /// The values that were kept, by name, in the order of the model; and the names of all stages that it offers.
    pub fn into_parts(self) -> (Vec<(String, Var)>, Vec<String>) {
        (self.found, self.offered)
    }
}

impl<'a> Pass<'a> {
    /// A pass that drops nothing, is fused, and keeps no stage.
    pub fn new(tape: &'a Tape, store: &'a Store, mode: Mode) -> Self {
        Self {
            tape,
            store,
            mode,
            randomness: None,
            fused: true,
            kept: RefCell::default(),
            scales: OnceCell::new(),
        }
    }

    /// What the batch norm of `gamma` scales by with its running statistics. The first norm of a pass makes it for all, in one launch: all have
    /// one `epsilon`.
    ///
    /// # Errors
    /// Those of [`Store::running_scales`].
    fn running_scale(&self, gamma: Param, epsilon: f64) -> Result<Option<Tensor>, KernelError> {
        if self.scales.get().is_none() {
            let _ = self.scales.set(self.store.running_scales(epsilon)?);
        }
        let of = |scales: &Tensor| self.store.running_scale(scales, gamma);
        self.scales
            .get()
            .and_then(Option::as_ref)
            .map(of)
            .transpose()
    }

    /// Offers the output `y` of the stage `name`, which is kept if somebody asked for it.
    pub fn keep(&self, name: impl std::fmt::Display, y: &Var) {
        let mut kept = self.kept.borrow_mut();
        let name = name.to_string();
        if kept.wanted.contains(&name) {
            kept.found.push((name.clone(), y.clone()));
        }
        kept.offered.push(name);
    }

    /// A parameter as a variable of other extents of as many elements.
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn param_as(&self, param: Param, shape: &[usize]) -> Result<Var, KernelError> {
        let value = self.store.value(param)?.reshape(shape)?;
        match self.mode {
            Mode::Train => self
                .tape
                .leaf(&value, &self.store.grad(param)?.reshape(shape)?),
            Mode::Infer => Ok(Var::constant(value)),
        }
    }

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
