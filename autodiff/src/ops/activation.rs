use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::activation::{self, cost};
use ghostlight_kernels::{Cost, KernelError, Tensor, planted};

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
            cost: cost::forward(x.len(), x.dtype(), self.kind),
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
            cost: cost::backward(x.len(), x.dtype(), self.kind),
        })
    }
}

/// An activation of `[x]` written to `into`, a channel window or a tensor of its shape: a part of a concatenation, which
/// [`Tape::join`](crate::Tape::join) puts together. With the identity it is a copy forward, and backward no launch.
#[derive(Debug, Clone)]
pub struct ActivationInto {
    /// Which one.
    pub kind: activation::Activation,
    /// Where the result goes; it shares no memory with `x`.
    pub into: Tensor,
}

impl Function for ActivationInto {
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "activation_into"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        // What is saved may not be written over.
        self.into.check_apart(self.name(), "into", &[("x", x)])?;
        activation::activation_into(x, self.kind, &self.into)?;
        Ok(Step {
            output: self.into.clone(),
            saved: x.clone(),
            cost: cost::forward(x.len(), x.dtype(), self.kind),
        })
    }

    fn backward(
        &self,
        x: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let (grad, cost) = match self.kind {
            activation::Activation::Identity => (grad.clone(), Cost::default()),
            kind => (
                activation::backward(&x, grad, kind)?,
                cost::backward(x.len(), x.dtype(), kind),
            ),
        };
        Ok(Gradients {
            inputs: vec![Some(grad)],
            cost,
        })
    }
}
