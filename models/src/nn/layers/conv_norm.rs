use super::{Act, BatchNorm, Conv, ConvShape};
use crate::nn::{Mode, Pass, Path};
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Tensor, Var};

/// A convolution and the batch norm behind it: two operations in training, or one with the layer that reads it ([`ConvNorm::open`]), one in
/// inference.
pub struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvNorm {
    /// Declares both at `path`, under the names `conv` and `norm`; the convolution has no bias.
    pub fn new(path: &mut Path, [conv, norm]: [&str; 2], shape: ConvShape) -> Self {
        Self::of(Conv::new(path.at(conv), shape), path.at(norm))
    }

    /// [`ConvNorm::new`] whose norm starts from a scale of 0, so that the branch of a residual begins as nothing.
    pub fn resting(path: &mut Path, [conv, norm]: [&str; 2], shape: ConvShape) -> Self {
        Self {
            conv: Conv::new(path.at(conv), shape),
            norm: BatchNorm::starting_at(0.0, path.at(norm), shape.channels[1]),
        }
    }

    /// Declares the norm of a convolution at `path`.
    pub fn of(conv: Conv, path: Path) -> Self {
        let norm = BatchNorm::new(path, conv.shape.channels[1]);
        Self { conv, norm }
    }

    /// Convolves, normalises and activates `x` `[n, h, w, input]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, pass: &Pass, x: impl Into<Map>, act: Act) -> Result<Var, KernelError> {
        self.forward_into(pass, x, None, act, None)
    }

    /// [`ConvNorm::forward`] with `residual`, of the output's shape, added before the activation.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward_plus(
        &self,
        pass: &Pass,
        x: impl Into<Map>,
        residual: &Var,
        act: Act,
    ) -> Result<Var, KernelError> {
        self.forward_into(pass, x, Some(residual), act, None)
    }

    /// [`ConvNorm::forward`] for one reader, another [`ConvNorm`], which normalises and activates as it reads: a training step then writes
    /// no normalised map. What is fused is decided here.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn open(&self, pass: &Pass, x: impl Into<Map>, act: Act) -> Result<Map, KernelError> {
        let fused = pass.fused && pass.mode == Mode::Train && !matches!(act, Act::Other(_));
        if !fused {
            return Ok((&self.forward(pass, x, act)?).into());
        }
        let norm = self.norm.function(pass, act.clamp())?;
        let parameters = self.norm.parameters(pass)?;
        Ok(Map {
            x: self.convolve(pass, x.into())?,
            behind: Some(Box::new((norm, parameters))),
        })
    }

    /// Both, with the result in `into`, usually a channel window; an activation that is no clamp is not written there.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward_into(
        &self,
        pass: &Pass,
        x: impl Into<Map>,
        residual: Option<&Var>,
        act: Act,
        into: Option<&Tensor>,
    ) -> Result<Var, KernelError> {
        let mut norm = self.norm.function(pass, act.clamp())?;
        norm.into = into.cloned();
        let y = match pass.mode {
            Mode::Train => {
                let y = self.convolve(pass, x.into())?;
                normalise(pass, norm, &y, &self.norm.parameters(pass)?, residual)?
            }
            Mode::Infer => {
                if let Some(bias) = self.conv.bias {
                    // norm(y + bias) is a norm of y about the mean less the bias.
                    norm.running_mean = pass.store.less(&norm.running_mean, bias)?;
                }
                let x = x.into().done(pass)?;
                let weight = pass.param(self.conv.weight)?;
                let [gamma, beta] = self.norm.parameters(pass)?;
                let inputs = [&x, &weight, &gamma, &beta].into_iter().chain(residual);
                let conv = self.conv.shape.operation();
                pass.tape
                    .apply(ops::ConvNorm { conv, norm }, &inputs.collect::<Vec<_>>())?
            }
        };
        act.finish(pass, y)
    }

    /// The convolution alone, in training.
    fn convolve(&self, pass: &Pass, x: Map) -> Result<Var, KernelError> {
        let Map { x, behind } = x;
        match behind {
            // No kernel has both a prologue and a bias.
            Some(behind) if self.conv.bias.is_none() => {
                let (norm, [gamma, beta]) = *behind;
                let weight = pass.param(self.conv.weight)?;
                let conv = self.conv.shape.operation();
                pass.tape
                    .apply(ops::NormConv { norm, conv }, &[&x, &gamma, &beta, &weight])
            }
            behind => self.conv.forward(pass, &Map { x, behind }.done(pass)?),
        }
    }
}

/// What a [`ConvNorm`] reads: a map, or what a convolution gave, whose norm and activation are left to the reader.
pub struct Map {
    x: Var,
    /// The norm that is left, and its gamma and beta.
    behind: Option<Box<(ops::BatchNorm, [Var; 2])>>,
}

impl Map {
    /// The map, normalised where that was left.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn done(self, pass: &Pass) -> Result<Var, KernelError> {
        match self.behind {
            None => Ok(self.x),
            Some(behind) => {
                let (norm, parameters) = *behind;
                normalise(pass, norm, &self.x, &parameters, None)
            }
        }
    }
}

impl From<&Var> for Map {
    fn from(x: &Var) -> Self {
        Self {
            x: x.clone(),
            behind: None,
        }
    }
}

fn normalise(
    pass: &Pass,
    norm: ops::BatchNorm,
    y: &Var,
    [gamma, beta]: &[Var; 2],
    residual: Option<&Var>,
) -> Result<Var, KernelError> {
    let inputs = [y, gamma, beta].into_iter().chain(residual);
    pass.tape.apply(norm, &inputs.collect::<Vec<_>>())
}
