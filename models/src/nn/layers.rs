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
    /// Initialised as He et al. 2015 (fan-out, gain of a ReLU), see `docs/methods.md` section 8.1.
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

/// A batch norm's parameters.
struct BatchNorm {
    gamma: Param,
    beta: Param,
    running_mean: Param,
    running_var: Param,
}

impl BatchNorm {
    /// PyTorch's defaults.
    const EPSILON: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    fn new(mut path: Path, channels: usize) -> Self {
        let mut vector =
            |name, kind, value| path.declare(name, &[channels], kind, Init::Constant(value));
        Self {
            gamma: vector("weight", Kind::Vector, 1.0),
            beta: vector("bias", Kind::Vector, 0.0),
            running_mean: vector("running_mean", Kind::Running, 0.0),
            running_var: vector("running_var", Kind::Running, 1.0),
        }
    }

    fn function(&self, pass: &Pass, relu: bool) -> Result<ops::BatchNorm, KernelError> {
        Ok(ops::BatchNorm {
            running_mean: pass.store.value(self.running_mean)?,
            running_var: pass.store.value(self.running_var)?,
            epsilon: Self::EPSILON,
            momentum: Self::MOMENTUM,
            relu,
            statistics: match pass.mode {
                Mode::Train => Statistics::Batch,
                Mode::Infer => Statistics::Running,
            },
            into: None,
        })
    }
}

/// A convolution without bias and the batch norm behind it: two operations in training, one in inference.
pub struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvNorm {
    /// Declares both at `path`, under the names `conv` and `norm`; see [`Conv::new`].
    pub fn new(
        path: &mut Path,
        [conv, norm]: [&str; 2],
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Self {
        Self {
            conv: Conv::new(path.at(conv), channels, kernel, stride),
            norm: BatchNorm::new(path.at(norm), channels[1]),
        }
    }

    /// Convolves and normalises `x` `[n, h, w, input]`, adds `residual` and applies a ReLU, the last two if asked for.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(
        &self,
        pass: &Pass,
        x: &Var,
        residual: Option<&Var>,
        relu: bool,
    ) -> Result<Var, KernelError> {
        let norm = self.norm.function(pass, relu)?;
        let (gamma, beta) = (pass.param(self.norm.gamma)?, pass.param(self.norm.beta)?);
        let rest = [&gamma, &beta].into_iter().chain(residual);
        match pass.mode {
            Mode::Train => {
                let y = self.conv.forward(pass, x)?;
                let inputs: Vec<&Var> = [&y].into_iter().chain(rest).collect();
                pass.tape.apply(norm, &inputs)
            }
            Mode::Infer => {
                let weight = pass.param(self.conv.weight)?;
                let inputs: Vec<&Var> = [x, &weight].into_iter().chain(rest).collect();
                let conv = ops::Conv {
                    options: self.conv.options,
                };
                pass.tape.apply(ops::ConvNorm { conv, norm }, &inputs)
            }
        }
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
