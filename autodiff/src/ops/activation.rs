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

/// An activation of `[x]`, written to `into`: a tensor of `x`'s shape, usually a channel window; see [`activation::activation_into`].
#[derive(Debug, Clone)]
pub struct ActivationInto {
    /// Which one.
    pub kind: activation::Activation,
    /// Where the result goes.
    pub into: Tensor,
}

impl Function for ActivationInto {
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "activation"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        activation::activation_into(x, self.kind, &self.into)?;
        Ok(Step {
            output: self.into.clone(),
            saved: x.clone(),
            cost: cost::forward(x.len(), x.dtype()),
        })
    }

    fn backward(
        &self,
        x: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Activation { kind: self.kind }.backward(x, grad, needs)
    }
}
