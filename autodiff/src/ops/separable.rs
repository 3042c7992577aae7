use crate::{Function, Gradients, Step};
use ghostlight_kernels::attention::separable::{self, Saved, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// Separable self-attention within the samples of `[qkv [s, n, 1 + 2 c]]`, to `[s, n, c]`; see [`separable`].
#[derive(Debug, Clone, Copy)]
pub struct SeparableAttention;

impl Function for SeparableAttention {
    type Saved = Saved;

    fn name(&self) -> &'static str {
        "separable_attention"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (output, saved) = separable::separable_attention(inputs[0])?;
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
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(separable::backward(&saved, grad)?)],
            cost: cost::backward(saved.problem()),
        })
    }
}
