use super::{Init, Kind, Mode, Param, Pass, Path};
use ghostlight_autodiff::ops::{self, Statistics};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::conv::dense::ConvOptions;

/// A convolution without bias.
pub struct Conv {
    weight: Param,
    options: ConvOptions,
}

impl Conv {
    /// Declares a square `kernel` x `kernel` convolution from `input` to `output` channels, padded so that stride 1 keeps the size.
    ///
    /// Initialised as He et al. 2015 (fan-out, gain of a ReLU), as in methods.md section 1.4.
    pub fn new(mut path: Path, [input, output]: [usize; 2], kernel: usize, stride: usize) -> Self {
        let deviation = (2.0 / (output * kernel * kernel) as f64).sqrt();
        let shape = [kernel, kernel, input, output];
        let weight = path.declare("weight", &shape, Kind::Conv, Init::Normal(deviation));
        Self {
            weight,
            options: ConvOptions::square(stride, kernel / 2),
        }
    }

    /// `[n, h, w, input]` to `[n, h', w', output]`.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        pass.tape.apply(
            ops::Conv {
                options: self.options,
            },
            &[x, &pass.param(self.weight)?],
        )
    }
}

/// A batch norm with what is fused to it.
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

    /// Declares a batch norm over `channels`.
    pub fn new(mut path: Path, channels: usize) -> Self {
        let mut vector =
            |name, kind, value| path.declare(name, &[channels], kind, Init::Constant(value));
        Self {
            gamma: vector("weight", Kind::Vector, 1.0),
            beta: vector("bias", Kind::Vector, 0.0),
            running_mean: vector("running_mean", Kind::Running, 0.0),
            running_var: vector("running_var", Kind::Running, 1.0),
        }
    }

    /// Normalises `x` `[.., c]`, adds `residual` and applies a ReLU, each of these if asked for.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn forward(
        &self,
        pass: &Pass,
        x: &Var,
        residual: Option<&Var>,
        relu: bool,
    ) -> Result<Var, KernelError> {
        let function = ops::BatchNorm {
            running_mean: pass.store.value(self.running_mean)?,
            running_var: pass.store.value(self.running_var)?,
            epsilon: Self::EPSILON,
            momentum: Self::MOMENTUM,
            relu,
            statistics: match pass.mode {
                Mode::Train => Statistics::Batch,
                Mode::Infer => Statistics::Running,
            },
        };
        let (gamma, beta) = (pass.param(self.gamma)?, pass.param(self.beta)?);
        let mut inputs = vec![x, &gamma, &beta];
        inputs.extend(residual);
        pass.tape.apply(function, &inputs)
    }
}

/// A fully connected layer with bias.
pub struct Linear {
    weight: Param,
    bias: Param,
}

impl Linear {
    /// Declares a layer from `input` to `output` features, initialised as PyTorch's.
    pub fn new(mut path: Path, input: usize, output: usize) -> Self {
        let bound = 1.0 / (input as f64).sqrt();
        let init = Init::Uniform(bound);
        Self {
            weight: path.declare("weight", &[input, output], Kind::Linear, init),
            bias: path.declare("bias", &[output], Kind::Vector, init),
        }
    }

    /// `[n, input]` to `[n, output]`.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let (weight, bias) = (pass.param(self.weight)?, pass.param(self.bias)?);
        pass.tape.apply(ops::Linear, &[x, &weight, &bias])
    }
}
