use crate::{Function, Gradients, Step};
use ghostlight_kernels::norm::softmax::{self, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The softmax of `[x [.., c]]` over its last axis; see [`softmax`].
#[derive(Debug, Clone, Copy)]
pub struct Softmax;

impl Function for Softmax {
    /// The result.
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "softmax"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let output = softmax::softmax(inputs[0])?;
        Ok(Step {
            cost: cost::forward(output.shape(), output.dtype()),
            saved: output.clone(),
            output,
        })
    }

    fn backward(
        &self,
        y: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(softmax::backward(&y, grad)?)],
            cost: cost::backward(y.len(), y.dtype()),
        })
    }
}
