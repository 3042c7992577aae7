use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::activation::{self, cost};
use ghostlight_kernels::{KernelError, Tensor, planted};

/// An activation of `[x]`, of any shape; see [`activation`].
#[derive(Debug, Clone, Copy)]
pub struct Activation {
    /// Which one.
    pub kind: activation::Activation,
}

impl Function for Activation {
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "activation"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = activation::activation(x, self.kind);
        Ok(Step {
            saved: planted::or("activation_keeps_its_output", x, &output).clone(),
            output,
            cost: cost::forward(x.len(), x.dtype()),
        })
    }

    fn backward(
        &self,
        x: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(activation::backward(&x, grad, self.kind)?)],
            cost: cost::backward(x.len(), x.dtype()),
        })
    }
}
