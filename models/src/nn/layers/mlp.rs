use super::{Flatten, Linear};
use crate::nn::{Pass, Path};
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::pointwise::activation::Activation;

/// Two fully connected layers over the channels of every token, with an activation between them.
pub struct Mlp {
    first: Linear,
    second: Linear,
    activation: Activation,
}

impl Mlp {
    /// Declares `fc1` from `channels` to `hidden` features and `fc2` back, stored as `flatten` says.
    pub fn new(
        mut path: Path,
        flatten: Flatten,
        [channels, hidden]: [usize; 2],
        activation: Activation,
    ) -> Self {
        Self {
            first: Linear::of(path.at("fc1"), flatten, channels, hidden),
            second: Linear::of(path.at("fc2"), flatten, hidden, channels),
            activation,
        }
    }

    /// `[.., channels]` to the same shape.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let kind = self.activation;
        let hidden = self.first.forward(pass, x)?;
        let hidden = pass.tape.apply(ops::Activation { kind }, &[&hidden])?;
        self.second.forward(pass, &hidden)
    }
}
