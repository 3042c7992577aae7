//! Architectures, one file per family, and the registry that maps their names to constructors.

mod cifar_resnet;

use crate::nn::{Declarations, Mode, Model, Pass, Store};
use ghostlight_autodiff::{Client, DType, Event, KernelError, Tape, Tensor, Var};
use std::cell::RefCell;
use std::rc::Rc;

/// Why a name gives no model.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No family knows the name.
    #[error(
        "there is no architecture {name:?}; the names are resnet<d> with d = 6n + 2, as resnet8, resnet20, resnet56"
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The device failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A network with its parameters.
pub struct Network {
    /// Its name in the registry.
    pub arch: String,
    /// Its parameters.
    pub store: Store,
    model: Box<dyn Model>,
}

/// What a network costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Trainable elements.
    pub params: usize,
    /// Multiply-accumulates of one image.
    pub macs: u64,
}

impl Network {
    /// Builds `arch` for `classes`, initialised from `seed`; `role` tells the networks of one run apart.
    ///
    /// # Errors
    /// [`ZooError::Unknown`] for a name that no family knows, [`ZooError::Kernel`] when the device has no room.
    pub fn new(
        client: &Client,
        dtype: DType,
        arch: &str,
        classes: usize,
        seed: u64,
        role: u64,
    ) -> Result<Self, ZooError> {
        let mut declarations = Declarations::default();
        let model = build(arch, declarations.root(), classes)?;
        let store = Store::new(client, dtype, declarations, seed, role)?;
        Ok(Self {
            arch: arch.to_string(),
            store,
            model,
        })
    }

    /// Maps images `[n, h, w, 3]` to logits `[n, classes]` on `tape`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, tape: &Tape, mode: Mode, images: &Var) -> Result<Var, KernelError> {
        self.model.forward(
            &Pass {
                tape,
                store: &self.store,
                mode,
            },
            images,
        )
    }

    /// Parameters, and multiply-accumulates of one image of `height` x `width`, as the kernels themselves count them.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn size(&self, height: usize, width: usize) -> Result<Size, KernelError> {
        let events = Rc::new(RefCell::new(Vec::<Event>::new()));
        let tape = Tape::observed(events.clone());
        let values = self.store.values();
        let image = Tensor::zeros(values.client(), &[1, height, width, 3], values.dtype());
        self.forward(&tape, Mode::Infer, &Var::constant(image))?;
        let macs = events.borrow().iter().map(|event| event.cost.macs).sum();
        Ok(Size {
            params: self.store.parameter_count(),
            macs,
        })
    }
}

/// Checks a name without building anything.
///
/// # Errors
/// [`ZooError::Unknown`].
pub fn check(arch: &str) -> Result<(), ZooError> {
    build(arch, Declarations::default().root(), 2).map(drop)
}

fn build(arch: &str, root: crate::nn::Path, classes: usize) -> Result<Box<dyn Model>, ZooError> {
    let unknown = || ZooError::Unknown {
        name: arch.to_string(),
    };
    let depth = cifar_resnet::depth(arch).ok_or_else(unknown)?;
    Ok(Box::new(cifar_resnet::CifarResNet::new(
        root, depth, classes,
    )))
}

#[cfg(test)]
mod tests;
