use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::add_relu::{self, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The ReLU of `[x [n, h, w, c], m [n, c]]`'s sum, `m` added to every pixel; see [`add_relu`].
#[derive(Debug, Clone, Copy)]
pub struct AddRelu;

impl Function for AddRelu {
    /// The result.
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "add_relu"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = add_relu::add_relu(x, inputs[1])?;
        Ok(Step {
            cost: cost::forward(output.nhwc(self.name(), "x")?, x.dtype()),
            saved: output.clone(),
            output,
        })
    }

    fn backward(
        &self,
        y: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let found = add_relu::backward(&y, grad)?;
        let cost = cost::backward(y.nhwc(self.name(), "x")?, y.dtype());
        Ok(Gradients::needed(needs, [found.x, found.m], cost))
    }
}
