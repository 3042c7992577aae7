use crate::ops::{Conv, Depthwise, GroupedConv};
use ghostlight_kernels::conv::dense::{self, ConvProblem};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseProblem};
use ghostlight_kernels::conv::grouped::{self, GroupedProblem};
use ghostlight_kernels::{Cost, KernelError, Source, Tensor};

/// A convolution of any kind.
#[derive(Debug, Clone, Copy)]
pub enum AnyConv {
    /// Every output channel reads every input channel.
    Dense(Conv),
    /// Every output channel reads the input channels of its group.
    Grouped(GroupedConv),
    /// Every output channel reads one input channel.
    Depthwise(Depthwise),
}

/// What the phases of one convolution cost.
pub(super) struct Costs {
    pub forward: Cost,
    pub grad_input: Cost,
    pub grad_weight: Cost,
}

impl AnyConv {
    pub(super) fn costs(&self, x: &Tensor, weight: &Tensor) -> Result<Costs, KernelError> {
        let of = |[forward, grad_input, grad_weight]: [Cost; 3]| Costs {
            forward,
            grad_input,
            grad_weight,
        };
        Ok(match *self {
            Self::Dense(Conv { options }) => {
                let problem = ConvProblem::new(x, weight, options)?;
                of([
                    dense::cost::forward(&problem),
                    dense::cost::grad_input(&problem),
                    dense::cost::grad_weight(&problem),
                ])
            }
            Self::Grouped(GroupedConv { groups, options }) => {
                let problem = GroupedProblem::new(x, weight, groups, options)?;
                of([
                    grouped::cost::forward(&problem),
                    grouped::cost::grad_input(&problem),
                    grouped::cost::grad_weight(&problem),
                ])
            }
            Self::Depthwise(Depthwise { options }) => {
                let problem = DepthwiseProblem::new(x, weight, options)?;
                of([
                    depthwise::cost::forward(&problem),
                    depthwise::cost::grad_input(&problem),
                    depthwise::cost::grad_weight(&problem),
                ])
            }
        })
    }

    pub(super) fn convolve(&self, x: Source, weight: &Tensor) -> Result<Tensor, KernelError> {
        match *self {
            Self::Dense(Conv { options }) => dense::conv(x, weight, options),
            Self::Grouped(GroupedConv { groups, options }) => {
                grouped::conv(x, weight, groups, options)
            }
            Self::Depthwise(Depthwise { options }) => {
                depthwise::depthwise(x, weight, None, options)
            }
        }
    }

    /// With respect to the input, of which the shape alone counts.
    pub(super) fn grad_input(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<Tensor, KernelError> {
        match *self {
            Self::Dense(Conv { options }) => dense::grad_input(x, weight, grad, options),
            Self::Grouped(GroupedConv { groups, options }) => {
                grouped::grad_input(x, weight, grad, groups, options)
            }
            Self::Depthwise(Depthwise { options }) => {
                depthwise::grad_input(x, weight, grad, options)
            }
        }
    }

    pub(super) fn grad_weight(
        &self,
        x: Source,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<Tensor, KernelError> {
        match *self {
            Self::Dense(Conv { options }) => dense::grad_weight(x, weight, grad, options),
            Self::Grouped(GroupedConv { groups, options }) => {
                grouped::grad_weight(x, weight, grad, groups, options)
            }
            Self::Depthwise(Depthwise { options }) => {
                depthwise::grad_weight(x, weight, grad, options)
            }
        }
    }
}
