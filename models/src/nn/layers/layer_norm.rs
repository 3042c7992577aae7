use crate::nn::{Init, Kind, Param, Pass, Path};
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::norm::layer_norm::Sample;

/// A layer norm over the channels of each pixel, or over all pixels of an image, with a scale and a shift for each channel; the same in training
/// and in inference.
pub struct LayerNorm {
    gamma: Param,
    beta: Param,
    epsilon: f64,
    sample: Sample,
}

impl LayerNorm {
    /// PyTorch's default.
    const EPSILON: f64 = 1e-5;

    /// Declares a norm of `channels`, which starts with a scale of 1 and a shift of 0.
    pub fn new(mut path: Path, channels: usize) -> Self {
        let mut vector =
            |name, value| path.declare(name, &[channels], Kind::Vector, Init::Constant(value));
        Self {
            gamma: vector("weight", 1.0),
            beta: vector("bias", 0.0),
            epsilon: Self::EPSILON,
            sample: Sample::Pixel,
        }
    }

    /// The same with another number added to the variance.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The same over all that belongs to one index of the first axis: a group norm of one group.
    pub fn over_images(self) -> Self {
        Self {
            sample: Sample::Image,
            ..self
        }
    }

    /// Normalises every pixel of `x` `[.., channels]`, or every image of `[n, .., channels]`.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let norm = ops::LayerNorm {
            sample: self.sample,
            epsilon: self.epsilon,
        };
        let parameters = [pass.param(self.gamma)?, pass.param(self.beta)?];
        let [gamma, beta] = &parameters;
        pass.tape.apply(norm, &[x, gamma, beta])
    }
}
