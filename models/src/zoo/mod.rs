//! Architectures, one file per family, and the registry that maps their names to constructors.
//!
//! Names are torchvision's, timm's and mdistiller's own, the last with the prefix `cifar_`.

mod efficientvit_b;
mod efficientvit_m;
mod ghostnet;
mod mobilenet_v2;
mod mobilevit;
mod mobilevit_v2;
mod network;
mod regnet;
mod resnet;
mod vgg;

pub use network::{Network, Size};

use crate::nn::{Declarations, Model, Path};
use ghostlight_autodiff::KernelError;

/// The networks of one file.
struct Family {
    /// Their names; a constructor may know more of the same kind.
    names: &'static [&'static str],
    /// Declares the network of a name, or knows no such name.
    build: fn(Architecture, Path) -> Option<Box<dyn Model>>,
}

/// A network's name and what it is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture<'a> {
    /// Its name in the registry, or an alias.
    pub name: &'a str,
    /// The classes that it tells apart.
    pub classes: usize,
    /// Height and width of its images in pixels: some networks have parameters for every position of a window.
    pub image: [usize; 2],
}

impl<'a> Architecture<'a> {
    /// The network `name` for images of its [`native_size`].
    pub fn new(name: &'a str, classes: usize) -> Self {
        let image = [native_size(name); 2];
        Self {
            name,
            classes,
            image,
        }
    }

    /// The same for images of other extents.
    pub fn images(self, height: usize, width: usize) -> Self {
        Self {
            image: [height, width],
            ..self
        }
    }
}

const FAMILIES: [Family; 9] = [
    vgg::FAMILY,
    resnet::FAMILY,
    mobilenet_v2::FAMILY,
    ghostnet::FAMILY,
    regnet::FAMILY,
    mobilevit::FAMILY,
    mobilevit_v2::FAMILY,
    efficientvit_b::FAMILY,
    efficientvit_m::FAMILY,
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

/// The side of the images that `name` was made for, in pixels.
pub fn native_size(name: &str) -> usize {
    let name = canonical(name);
    if name.starts_with("cifar_") || name.starts_with("snt_") {
        32
    } else if name.starts_with("mobilevit") {
        256
    } else {
        224
    }
}

/// The name that an alias stands for.
fn canonical(name: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, name)| name)
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

/// Checks a name without building anything.
///
/// # Errors
/// [`ZooError::Unknown`].
pub fn check(name: &str) -> Result<(), ZooError> {
    build(Architecture::new(name, 2), Declarations::default().root()).map(drop)
}

fn build(arch: Architecture, mut root: Path) -> Result<Box<dyn Model>, ZooError> {
    let arch = Architecture {
        name: canonical(arch.name),
        ..arch
    };
    for family in FAMILIES {
        if let Some(model) = (family.build)(arch, root.again()) {
            return Ok(model);
        }
    }
    Err(ZooError::Unknown {
        name: arch.name.to_string(),
    })
}

#[cfg(test)]
mod tests;
