use crate::ops::{AnyConv, BatchNorm, Conv, Depthwise, GroupedConv};
use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::dense::{self, Affine, ConvProblem};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseProblem};
use ghostlight_kernels::conv::grouped::{self, GroupedProblem};
use ghostlight_kernels::{Cost, KernelError, Tensor};

/// A convolution and the batch norm behind it as one inference kernel, of `[x, weight, gamma, beta]` or
/// `[x, weight, gamma, beta, residual]`; see [`dense::conv_affine`]. It has no backward pass.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: AnyConv,
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
            scale: &self.norm.running_scale(gamma)?,
            shift: beta,
            residual,
            clamp: self.norm.clamp,
        };
        let room = |shape: [usize; 4]| match &self.norm.into {
            Some(out) => out.clone(),
            None => Tensor::empty(x.client(), &shape, x.dtype()),
        };
        let (output, cost) = match self.conv {
            AnyConv::Dense(Conv { options }) => {
                let problem = ConvProblem::new(x, weight, options)?;
                let out = room(problem.output_shape());
                dense::conv_affine_into(x, weight, options, &affine, &out)?;
                (out, problem.cost())
            }
            AnyConv::Grouped(GroupedConv { groups, options }) => {
                let problem = GroupedProblem::new(x, weight, groups, options)?;
                if self.norm.into.is_some() {
                    let wanted = "a tensor of its own: grouped convolutions write no windows";
                    return Err(KernelError::range(self.name(), "into", "a window", wanted));
                }
                let out = grouped::conv_affine(x, weight, groups, options, &affine)?;
                (out, problem.cost())
            }
            AnyConv::Depthwise(Depthwise { options }) => {
                let problem = DepthwiseProblem::new(x, weight, options)?;
                let out = room(problem.output_shape());
                depthwise::depthwise_affine_into(x, weight, options, &affine, &out)?;
                (out, problem.cost())
            }
        };
        let read = 3 * beta.len() + residual.map_or(0, Tensor::len);
        Ok(Step {
            output,
            saved: (),
            cost: cost + Cost::traffic(read, 0, x.dtype().size()),
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
