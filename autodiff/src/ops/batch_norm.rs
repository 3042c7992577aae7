use crate::{Function, Gradients, Step};
use ghostlight_kernels::norm::batch_norm::{self, BatchNormProblem, Saved, cost};
use ghostlight_kernels::{Clamp, KernelError, Tensor};

/// Which statistics a batch norm divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The batch's own; the running ones move towards them.
    Batch,
    /// The running ones; gives no gradient.
    Running,
}

/// Batch norm of `[x [.., c], gamma [c], beta [c]]` or `[x, gamma, beta, residual [.., c]]`, fused with what follows; see
/// [`batch_norm`].
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// The layer's running mean `[c]`.
    pub running_mean: Tensor,
    /// The layer's running variance `[c]`.
    pub running_var: Tensor,
    /// Added to the variance.
    pub epsilon: f64,
    /// How far the running statistics move.
    pub momentum: f64,
    /// What it scales by with the running statistics ([`batch_norm::running_scale`]), for a network that makes all norms' in one launch. `None`
    /// makes it.
    pub scale: Option<Tensor>,
    /// What bounds the result.
    pub clamp: Clamp,
    /// Training or inference.
    pub statistics: Statistics,
    /// Where the result goes in training: a tensor of `x`'s shape, usually a channel window. `None` makes one.
    pub into: Option<Tensor>,
}

impl BatchNorm {
    pub(super) fn layer(&self, gamma: &Tensor, beta: &Tensor) -> batch_norm::BatchNorm {
        batch_norm::BatchNorm {
            gamma: gamma.clone(),
            beta: beta.clone(),
            running_mean: self.running_mean.clone(),
            running_var: self.running_var.clone(),
            epsilon: self.epsilon,
            momentum: self.momentum,
        }
    }

    /// What it scales by with the running statistics.
    pub(super) fn running_scale(&self, gamma: &Tensor) -> Result<Tensor, KernelError> {
        let made = || batch_norm::running_scale(gamma, &self.running_var, self.epsilon);
        self.scale.clone().map_or_else(made, Ok)
    }
}

impl Function for BatchNorm {
    type Saved = Option<(batch_norm::BatchNorm, Saved, BatchNormProblem)>;

    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (x, residual) = (inputs[0], inputs.get(3).copied());
        let layer = self.layer(inputs[1], inputs[2]);
        Ok(match self.statistics {
            Statistics::Batch => {
                // Its residual may be a window, as the first thin block's of a G-Ghost stage is.
                let problem = BatchNormProblem::new(x, &layer, None)?;
                let own = || Tensor::empty(x.client(), x.shape(), x.dtype());
                let output = self.into.clone().unwrap_or_else(own);
                let saved = batch_norm::train_into(x, &layer, residual, self.clamp, &output)?;
                let cost = cost::forward(&problem, residual.is_some());
                Step {
                    output,
                    saved: Some((layer, saved, problem)),
                    cost,
                }
            }
            Statistics::Running => {
                let problem = BatchNormProblem::new(x, &layer, residual)?;
                let scale = self.running_scale(inputs[1])?;
                let output = batch_norm::infer_by(x, &layer, &scale, residual, self.clamp)?;
                let cost = cost::inference(&problem, residual.is_some());
                Step {
                    output,
                    saved: None,
                    cost,
                }
            }
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let Some((layer, saved, problem)) = saved else {
            let wanted = "the batch's statistics in a pass that needs gradients";
            return Err(KernelError::range(
                self.name(),
                "statistics",
                "running",
                wanted,
            ));
        };
        let found = batch_norm::backward(&layer, saved, grad)?;
        let cost = cost::backward(&problem, found.residual.is_some());
        let all = [found.input, found.gamma, found.beta].into_iter();
        Ok(Gradients::needed(needs, all.chain(found.residual), cost))
    }
}
