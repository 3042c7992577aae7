use super::Act;
use crate::nn::{Init, Kind, Param, Pass, Path};
use ghostlight_autodiff::ops::{self, AnyConv};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::conv::depthwise::DepthwiseOptions;
use ghostlight_kernels::planted;

/// Channels, kernel, stride and groups of a square convolution, padded so that stride 1 keeps the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Taps along each axis.
    pub kernel: usize,
    /// Pixels between neighbouring windows.
    pub stride: usize,
    /// Groups, which divide the channels in and out.
    pub groups: usize,
}

impl ConvShape {
    /// A dense convolution of stride 1.
    pub fn new(channels: [usize; 2], kernel: usize) -> Self {
        Self {
            channels,
            kernel,
            stride: 1,
            groups: 1,
        }
    }

    /// A depthwise convolution of stride 1.
    pub fn depthwise(channels: usize, kernel: usize) -> Self {
        Self::new([channels; 2], kernel).groups(channels)
    }

    /// The same with another stride.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// The same in groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.channels[0]
    }

    pub(super) fn operation(&self) -> AnyConv {
        let (stride, padding) = (self.stride, self.kernel / 2);
        let options = ConvOptions::square(stride, padding);
        if self.is_depthwise() {
            let options = DepthwiseOptions::square(stride, padding);
            AnyConv::Depthwise(ops::Depthwise { options })
        } else if self.groups > 1 {
            AnyConv::Grouped(ops::GroupedConv {
                groups: self.groups,
                options,
            })
        } else {
            AnyConv::Dense(ops::Conv { options })
        }
    }

    /// Declares the weight at `path`, initialised as He et al. 2015 (fan-out, gain of a ReLU).
    pub(super) fn declare(&self, path: &mut Path) -> Param {
        let ([input, output], k, groups) = (self.channels, self.kernel, self.groups);
        let fan = planted::or("starting_spread_by_fan_in", output, input);
        let deviation = (2.0 * groups as f64 / (fan * k * k) as f64).sqrt();
        let init = Init::Normal(deviation);
        if self.is_depthwise() {
            return path.declare("weight", &[k, k, output], Kind::Depthwise, init);
        }
        path.declare("weight", &[k, k, input / groups, output], Kind::Conv, init)
    }
}

/// A convolution, with or without bias.
pub struct Conv {
    pub(super) weight: Param,
    pub(super) bias: Option<Param>,
    pub(super) shape: ConvShape,
}

impl Conv {
    /// Declares a convolution without bias at `path`.
    pub fn new(mut path: Path, shape: ConvShape) -> Self {
        let weight = shape.declare(&mut path);
        Self {
            weight,
            bias: None,
            shape,
        }
    }

    /// Declares a dense or depthwise convolution with bias, which starts at 0.
    pub fn biased(mut path: Path, shape: ConvShape) -> Self {
        let weight = shape.declare(&mut path);
        let zero = Init::Constant(0.0);
        let bias = path.declare("bias", &[shape.channels[1]], Kind::Vector, zero);
        Self {
            weight,
            bias: Some(bias),
            shape,
        }
    }

    /// `[n, h, w, input]` to `[n, h', w', output]`.
    ///
    /// # Errors
    /// Those of the kernels; a grouped convolution with bias.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        self.activated(pass, x, Act::None)
    }

    /// [`Conv::forward`], then through `act`.
    ///
    /// # Errors
    /// Those of [`Conv::forward`].
    pub fn activated(&self, pass: &Pass, x: &Var, act: Act) -> Result<Var, KernelError> {
        let weight = pass.param(self.weight)?;
        let bias = self.bias.map(|bias| pass.param(bias)).transpose()?;
        let inputs: Vec<&Var> = [x, &weight].into_iter().chain(&bias).collect();
        let y = match (self.shape.operation(), &bias) {
            (AnyConv::Dense(ops::Conv { options }), Some(_)) => {
                let [zeros, ones] = pass.store.constants(self.shape.channels[1])?;
                let op = ops::ConvBias {
                    options,
                    clamp: act.clamp(),
                    zeros,
                    ones,
                };
                let y = pass.tape.apply(op, &inputs)?;
                return act.finish(pass, y);
            }
            (AnyConv::Grouped(_), Some(_)) => {
                let wanted = "no bias: grouped convolutions add none";
                return Err(KernelError::range("grouped_conv", "bias", "given", wanted));
            }
            (AnyConv::Dense(op), None) => pass.tape.apply(op, &inputs)?,
            (AnyConv::Grouped(op), None) => pass.tape.apply(op, &inputs)?,
            (AnyConv::Depthwise(op), _) => pass.tape.apply(op, &inputs)?,
        };
        match act.clamp() {
            Clamp::None => act.finish(pass, y),
            clamp => Act::Other(clamp.activation()).finish(pass, y),
        }
    }
}
