use super::{BatchNorm, ConvShape};
use crate::nn::{Init, Kind, Param, Pass, Path};
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Tensor, Var};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::dense::ConvOptions;

/// A Ghost module (Han et al. 2020, ratio 2): a pointwise convolution for half of the channels, a 3x3 depthwise one of those for the rest.
pub struct GhostModule {
    primary: Param,
    primary_norm: BatchNorm,
    cheap: Param,
    cheap_norm: BatchNorm,
    channels: usize,
    clamp: Clamp,
}

impl GhostModule {
    /// Declares `primary_conv.{0,1}` and `cheap_operation.{0,1}`.
    pub fn new(mut path: Path, [input, output]: [usize; 2], clamp: Clamp) -> Self {
        let half = output.div_ceil(2);
        let mut primary = path.at("primary_conv");
        let primary = (
            ConvShape::new([input, half], 1).declare(&mut primary.at("0")),
            BatchNorm::new(primary.at("1"), half),
        );
        let mut cheap = path.at("cheap_operation");
        let cheap = (
            ConvShape::depthwise(half, 3).declare(&mut cheap.at("0")),
            BatchNorm::new(cheap.at("1"), half),
        );
        Self {
            primary: primary.0,
            primary_norm: primary.1,
            cheap: cheap.0,
            cheap_norm: cheap.1,
            channels: output,
            clamp,
        }
    }

    /// `[n, h, w, input]` to `[n, h, w, output]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let [gamma, beta] = self.primary_norm.parameters(pass)?;
        let [cheap_gamma, cheap_beta] = self.cheap_norm.parameters(pass)?;
        let (primary, cheap) = (pass.param(self.primary)?, pass.param(self.cheap)?);
        let ghost = ops::Ghost {
            options: ConvOptions::square(1, 0),
            channels: self.channels,
            primary_norm: self.primary_norm.function(pass, self.clamp)?,
            cheap_norm: self.cheap_norm.function(pass, self.clamp)?,
        };
        let inputs = [
            x,
            &primary,
            &gamma,
            &beta,
            &cheap,
            &cheap_gamma,
            &cheap_beta,
        ];
        pass.tape.apply(ghost, &inputs)
    }
}

/// The ghost half of a G-Ghost stage: a cheap pointwise convolution of the first block's last channels, corrected by a mix of all features.
pub struct GhostMix {
    cheap: (Param, BatchNorm),
    first: (Param, BatchNorm),
    second: (Param, BatchNorm),
}

impl GhostMix {
    /// Declares `cheap.{0,1}` and `merge.{1,2,4,5}` at `path`, for `ghosts` channels from `pooled` channels of features.
    pub fn new(path: &mut Path, ghosts: usize, pooled: usize) -> Self {
        let mut layer = |at: &str, conv: &str, norm: &str, input: usize| {
            let init = Init::Normal((2.0 / ghosts as f64).sqrt());
            let mut path = path.at(at);
            let shape = [input, ghosts];
            let weight = path
                .at(conv)
                .declare("weight", &shape, Kind::Pointwise, init);
            (weight, BatchNorm::new(path.at(norm), ghosts))
        };
        let first = layer("merge", "1", "2", pooled);
        let second = layer("merge", "4", "5", ghosts);
        Self {
            cheap: layer("cheap", "0", "1", ghosts),
            first,
            second,
        }
    }

    /// The ghosts of `x0` `[n, h, w, p]` and the features `[n, h, w, r]` of the blocks behind it, written to `out`
    /// `[n, h, w, ghosts]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(
        &self,
        pass: &Pass,
        x0: &Var,
        features: &[Var],
        out: Tensor,
    ) -> Result<Var, KernelError> {
        let mut parameters = Vec::new();
        let mut norms = Vec::new();
        for (weight, norm) in [&self.cheap, &self.first, &self.second] {
            parameters.push(pass.param(*weight)?);
            parameters.extend(norm.parameters(pass)?);
            norms.push(norm.function(pass, Clamp::None)?);
        }
        let inputs: Vec<&Var> = [x0]
            .into_iter()
            .chain(features)
            .chain(&parameters)
            .collect();
        let [cheap_norm, first_norm, second_norm] =
            <[ops::BatchNorm; 3]>::try_from(norms).expect("three layers were asked");
        let mix = ops::GhostMix {
            cheap_norm,
            first_norm,
            second_norm,
            out,
        };
        pass.tape.apply(mix, &inputs)
    }
}
