//! Layers: each declares its parameters by path, and lends them to the operations of one pass.

mod concat;
mod conv;
mod conv_norm;
mod dropout;
mod ghost;
mod inverted_residual;
mod layer_norm;
mod linear;
mod mlp;
mod norm;
mod squeeze;

pub use concat::concat;
pub use conv::{Conv, ConvShape};
pub use conv_norm::{ConvNorm, Map};
pub use dropout::Dropout;
pub use ghost::{GhostMix, GhostModule};
pub use inverted_residual::InvertedResidual;
pub use layer_norm::LayerNorm;
pub use linear::{Flatten, Linear, flatten, reshape};
pub use mlp::Mlp;
pub use norm::BatchNorm;
pub use squeeze::SqueezeExcite;

use super::Pass;
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::pointwise::activation::Activation;

/// What follows a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing: a linear bottleneck, or a sum that is activated itself.
    None,
    /// `max(x, 0)`, in the norm's own pass over memory.
    Relu,
    /// `min(max(x, 0), 6)`, as well.
    Relu6,
    /// Another one, as an operation of its own.
    Other(Activation),
}

impl Act {
    /// What the norm does of it.
    fn clamp(self) -> Clamp {
        match self {
            Self::Relu => Clamp::Relu,
            Self::Relu6 => Clamp::Relu6,
            Self::None | Self::Other(_) => Clamp::None,
        }
    }

    /// Applies what the norm did not.
    fn finish(self, pass: &Pass, y: Var) -> Result<Var, KernelError> {
        match self {
            Self::None | Self::Relu | Self::Relu6 => Ok(y),
            Self::Other(kind) => pass.tape.apply(ops::Activation { kind }, &[&y]),
        }
    }
}
