use crate::ops::{BatchNorm, Conv};
use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::dense::{self, Affine, ConvProblem};
use ghostlight_kernels::norm::batch_norm::running_scale;
use ghostlight_kernels::{Cost, KernelError, Tensor};

/// A convolution and the batch norm behind it as one inference kernel, of `[x, weight, gamma, beta]` or
/// `[x, weight, gamma, beta, residual]`; see [`dense::conv_affine`]. It has no backward pass.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv,
    /// The batch norm, whose running statistics are used whatever it says.
    pub norm: BatchNorm,
}

impl Function for ConvNorm {
    type Saved = ();

    fn name(&self) -> &'static str {
        "conv_norm"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<()>, KernelError> {
        let [x, weight, gamma, beta] = [inputs[0], inputs[1], inputs[2], inputs[3]];
        let residual = inputs.get(4).copied();
        let affine = Affine {
            centre: &self.norm.running_mean,
            scale: &running_scale(&self.norm.layer(gamma, beta))?,
            shift: beta,
            residual,
            relu: self.norm.relu,
        };
        let output = dense::conv_affine(x, weight, self.conv.options, &affine)?;
        let read = 3 * beta.len() + residual.map_or(0, Tensor::len);
        let cost = ConvProblem::new(x, weight, self.conv.options)?.cost()
            + Cost::traffic(read, 0, x.dtype().size());
        Ok(Step {
            output,
            saved: (),
            cost,
        })
    }

    fn backward(&self, (): (), _: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        let wanted = "the batch's statistics in a pass that needs gradients";
        Err(KernelError::range(
            self.name(),
            "statistics",
            "running",
            wanted,
        ))
    }
}
