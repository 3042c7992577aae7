use crate::nn::{Init, Kind, Mode, Param, Pass, Path};
use ghostlight_autodiff::ops::{self, Statistics};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::planted;

/// A batch norm's parameters and running statistics.
pub struct BatchNorm {
    gamma: Param,
    beta: Param,
    running_mean: Param,
    running_var: Param,
}

impl BatchNorm {
    /// PyTorch's defaults.
    const EPSILON: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    /// Declares a norm of `channels`, which starts as the identity.
    pub fn new(path: Path, channels: usize) -> Self {
        Self::starting_at(1.0, path, channels)
    }

    /// Declares a norm of `channels` that starts from the scale `gamma`: at 0 the branch of a residual begins as nothing.
    pub fn starting_at(gamma: f64, mut path: Path, channels: usize) -> Self {
        let mut vector =
            |name, kind, value| path.declare(name, &[channels], kind, Init::Constant(value));
        Self {
            gamma: vector("weight", Kind::Scale, gamma),
            beta: vector("bias", Kind::Vector, 0.0),
            running_mean: vector("running_mean", Kind::Running, 0.0),
            running_var: vector("running_var", Kind::Variance, 1.0),
        }
    }

    /// Normalises `x` `[.., channels]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let [gamma, beta] = self.parameters(pass)?;
        let norm = self.function(pass, Clamp::None)?;
        pass.tape.apply(norm, &[x, &gamma, &beta])
    }

    /// Gamma and beta.
    pub(super) fn parameters(&self, pass: &Pass) -> Result<[Var; 2], KernelError> {
        Ok([pass.param(self.gamma)?, pass.param(self.beta)?])
    }

    /// The operation, with `clamp` behind it.
    pub(super) fn function(
        &self,
        pass: &Pass,
        clamp: Clamp,
    ) -> Result<ops::BatchNorm, KernelError> {
        let epsilon = match pass.mode {
            Mode::Infer => planted::or("inference_epsilon", Self::EPSILON, 1e-3),
            Mode::Train => Self::EPSILON,
        };
        Ok(ops::BatchNorm {
            running_mean: pass.store.value(self.running_mean)?,
            running_var: pass.store.value(self.running_var)?,
            scale: match pass.mode {
                Mode::Infer => pass.running_scale(self.gamma, epsilon)?,
                Mode::Train => None,
            },
            epsilon,
            momentum: planted::or("momentum_of_the_rest", Self::MOMENTUM, 1.0 - Self::MOMENTUM),
            clamp,
            statistics: match pass.mode {
                Mode::Train => Statistics::Batch,
                Mode::Infer => Statistics::Running,
            },
            into: None,
        })
    }
}
