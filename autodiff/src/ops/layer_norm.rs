use crate::{Function, Gradients, Step};
use ghostlight_kernels::norm::layer_norm::{self, Sample, Saved, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// Layer norm, or group norm of one group, of `[x [.., c], gamma [c], beta [c]]`; see [`layer_norm`].
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    /// What one mean is taken over.
    pub sample: Sample,
    /// Added to the variance.
    pub epsilon: f64,
}

impl Function for LayerNorm {
    type Saved = Saved;

    fn name(&self) -> &'static str {
        match self.sample {
            Sample::Pixel => "layer_norm",
            Sample::Image => "group_norm",
        }
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (gamma, beta) = (inputs[1], inputs[2]);
        let (output, saved) =
            layer_norm::layer_norm(inputs[0], gamma, beta, self.epsilon, self.sample)?;
        let cost = cost::forward(saved.problem());
        Ok(Step {
            output,
            saved,
            cost,
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let found = layer_norm::backward(&saved, grad)?;
        let all = [found.x, found.gamma, found.beta];
        let cost = cost::backward(saved.problem());
        Ok(Gradients::needed(needs, all, cost))
    }
}
