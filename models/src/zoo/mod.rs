//! Architectures, one file per family, and the registry that maps their names to constructors.
//!
//! Names are torchvision's, timm's and mdistiller's own, the last with the prefix `cifar_`.

mod ghostnet;
mod mobilenet_v2;
mod regnet;
mod resnet;
mod vgg;

use crate::nn::{Declarations, Kept, Mode, Model, Pass, Path, Store};
use ghostlight_autodiff::{Client, DType, Event, KernelError, Tape, Tensor, Var};
use ghostlight_kernels::pointwise::fill;
use std::cell::RefCell;
use std::rc::Rc;

/// The networks of one file.
struct Family {
    /// Their names; a constructor may know more of the same kind.
    names: &'static [&'static str],
    /// Declares the network of a name, with as many classes, or knows no such name.
    build: fn(&str, Path, usize) -> Option<Box<dyn Model>>,
}

const FAMILIES: [Family; 5] = [
    vgg::FAMILY,
    resnet::FAMILY,
    mobilenet_v2::FAMILY,
    ghostnet::FAMILY,
    regnet::FAMILY,
];

/// Shorter names that the literature on distillation has for CIFAR networks. Other depths have none: `resnet18` and `resnet50` are
/// other networks elsewhere.
const ALIASES: [(&str, &str); 7] = [
    ("resnet8", "cifar_resnet8"),
    ("resnet14", "cifar_resnet14"),
    ("resnet20", "cifar_resnet20"),
    ("resnet32", "cifar_resnet32"),
    ("resnet44", "cifar_resnet44"),
    ("resnet56", "cifar_resnet56"),
    ("resnet110", "cifar_resnet110"),
];

/// How many names a refusal shows.
const SHOWN: usize = 4;

/// The names of all networks, family by family.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES
        .into_iter()
        .flat_map(|family| family.names)
        .copied()
}

/// Why a name gives no model.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No family knows the name.
    #[error(
        "there is no architecture {name:?}; the nearest names are {}, and `ghostlight models` lists all",
        nearest(name).join(", ")
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The network offers no such stage.
    #[error("{arch} has no stage {name:?}; its stages are {}", stages.join(", "))]
    Stage {
        /// The network.
        arch: String,
        /// What was asked for.
        name: String,
        /// What there is.
        stages: Vec<String>,
    },
    /// The device failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The names most like `name`, aliases included.
fn nearest(name: &str) -> Vec<&'static str> {
    let mut all: Vec<&str> = names().chain(ALIASES.map(|(alias, _)| alias)).collect();
    // Stable: of names that are as near the first family's come first.
    all.sort_by_key(|known| strsim::damerau_levenshtein(&name.to_lowercase(), known));
    all.truncate(SHOWN);
    all
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

    /// `arch` on a device that computes nothing ([`ghostlight_kernels::counting`]): it has sizes, but no values.
    ///
    /// # Errors
    /// [`ZooError::Unknown`].
    pub fn sketch(arch: &str, classes: usize) -> Result<Self, ZooError> {
        let mut declarations = Declarations::default();
        let model = build(arch, declarations.root(), classes)?;
        Ok(Self {
            arch: arch.to_string(),
            store: Store::blank(declarations)?,
            model,
        })
    }

    /// Maps images `[n, h, w, 3]` to logits `[n, classes]` on `tape`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, tape: &Tape, mode: Mode, images: &Var) -> Result<Var, KernelError> {
        Ok(self.run(tape, mode, images, &[])?.0)
    }

    /// [`Network::forward`], and the outputs of the stages `wanted`, in their order.
    ///
    /// # Errors
    /// [`ZooError::Stage`] for the first stage that the network does not offer, [`ZooError::Kernel`] for what the kernels refuse.
    pub fn forward_with_stages(
        &self,
        tape: &Tape,
        mode: Mode,
        images: &Var,
        wanted: &[&str],
    ) -> Result<(Var, Vec<Var>), ZooError> {
        let (logits, kept) = self.run(tape, mode, images, wanted)?;
        let (found, stages) = kept.into_parts();
        let of = |&name: &&str| {
            let value = found.iter().find(|(stage, _)| stage == name);
            value
                .map(|(_, y)| y.clone())
                .ok_or_else(|| ZooError::Stage {
                    arch: self.arch.clone(),
                    name: name.to_string(),
                    stages: stages.clone(),
                })
        };
        Ok((logits, wanted.iter().map(of).collect::<Result<_, _>>()?))
    }

    fn run(
        &self,
        tape: &Tape,
        mode: Mode,
        images: &Var,
        wanted: &[&str],
    ) -> Result<(Var, Kept), KernelError> {
        let pass = Pass {
            tape,
            store: &self.store,
            mode,
            kept: RefCell::new(Kept::of(wanted)),
        };
        let logits = self.model.forward(&pass, images)?;
        Ok((logits, pass.kept.into_inner()))
    }

    /// Parameters, and multiply-accumulates of one image of `height` x `width`, as the kernels themselves count them.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn size(&self, height: usize, width: usize) -> Result<Size, KernelError> {
        let events = Rc::new(RefCell::new(Vec::<Event>::new()));
        let tape = Tape::observed(events.clone());
        let values = self.store.values();
        let image = Tensor::empty(values.client(), &[1, height, width, 3], values.dtype());
        fill(&image, 0.0);
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

fn build(arch: &str, mut root: Path, classes: usize) -> Result<Box<dyn Model>, ZooError> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == arch);
    let name = alias.map_or(arch, |(_, name)| name);
    for family in FAMILIES {
        if let Some(model) = (family.build)(name, root.again(), classes) {
            return Ok(model);
        }
    }
    Err(ZooError::Unknown {
        name: arch.to_string(),
    })
}
