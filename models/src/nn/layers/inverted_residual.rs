use super::{Act, ConvNorm, ConvShape};
use crate::nn::{Pass, Path};
use ghostlight_autodiff::{KernelError, Var};

/// An inverted residual (Sandler et al. 2018): 1x1 expansion, 3x3 depthwise, linear 1x1 projection, and the input added where it fits.
pub struct InvertedResidual {
    expand: ConvNorm,
    depthwise: ConvNorm,
    project: ConvNorm,
    residual: bool,
    act: Act,
}

impl InvertedResidual {
    /// Declares the three convolutions and their norms at `names`; `channels` are those of the input, between the convolutions, and of the output,
    /// `act` is behind the first two.
    pub fn new(
        path: &mut Path,
        names: [[&str; 2]; 3],
        [input, hidden, output]: [usize; 3],
        stride: usize,
        act: Act,
    ) -> Self {
        let [expand, depthwise, project] = names;
        Self {
            expand: ConvNorm::new(path, expand, ConvShape::new([input, hidden], 1)),
            depthwise: ConvNorm::new(
                path,
                depthwise,
                ConvShape::depthwise(hidden, 3).stride(stride),
            ),
            project: ConvNorm::new(path, project, ConvShape::new([hidden, output], 1)),
            residual: stride == 1 && input == output,
            act,
        }
    }

    /// `[n, h, w, input]` to `[n, h', w', output]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let wide = self.expand.open(pass, x, self.act)?;
        let wide = self.depthwise.open(pass, wide, self.act)?;
        if self.residual {
            self.project.forward_plus(pass, wide, x, Act::None)
        } else {
            self.project.forward(pass, wide, Act::None)
        }
    }
}
