use super::{Flatten, Linear};
use crate::nn::{Pass, Path};
use ghostlight_autodiff::ops::{self, GlobalAverage};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::pointwise::activation::Activation;

/// Squeeze and excitation (Hu et al. 2018): every channel of an image is scaled by a function of all channels' means.
pub struct SqueezeExcite {
    reduce: Linear,
    expand: Linear,
    gate: Activation,
}

impl SqueezeExcite {
    /// Declares `conv_reduce` to `reduced` channels, behind which a ReLU stands, and `conv_expand`, behind which `gate` does.
    pub fn new(path: Path, channels: usize, reduced: usize, gate: Activation) -> Self {
        Self::named(
            path,
            ["conv_reduce", "conv_expand"],
            [channels, reduced],
            gate,
        )
    }

    /// [`SqueezeExcite::new`] under other names.
    pub fn named(
        mut path: Path,
        [reduce, expand]: [&str; 2],
        [channels, reduced]: [usize; 2],
        gate: Activation,
    ) -> Self {
        let pixel = Flatten::Pixel;
        Self {
            reduce: Linear::of(path.at(reduce), pixel, channels, reduced),
            expand: Linear::of(path.at(expand), pixel, reduced, channels),
            gate,
        }
    }

    /// Scales `x` `[n, h, w, channels]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let squeezed = pass.tape.apply(GlobalAverage, &[x])?;
        let relu = ops::Activation {
            kind: Activation::Relu,
        };
        let reduced = self.reduce.forward(pass, &squeezed)?;
        let reduced = pass.tape.apply(relu, &[&reduced])?;
        let excited = self.expand.forward(pass, &reduced)?;
        let gate = ops::Gate {
            activation: self.gate,
        };
        pass.tape.apply(gate, &[x, &excited])
    }
}
