use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::pointwise::gate::{self, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The map of `[x [n, h, w, c], s [n, c]]` whose channels are scaled by a function of `s`; see [`gate`].
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    /// The function of `s`.
    pub activation: Activation,
}

impl Function for Gate {
    /// `x` and `s`.
    type Saved = [Tensor; 2];

    fn name(&self) -> &'static str {
        "gate"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (x, s) = (inputs[0], inputs[1]);
        let output = gate::gate(x, s, self.activation)?;
        let shape = x.dims_view(self.name(), "x", "[n, h, w, c]")?;
        let cost = cost::forward(shape, x.dtype(), self.activation);
        Ok(Step {
            output,
            saved: [x.clone(), s.clone()],
            cost,
        })
    }

    fn backward(
        &self,
        [x, s]: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let found = gate::backward(&x, &s, self.activation, grad)?;
        let shape = x.dims_view(self.name(), "x", "[n, h, w, c]")?;
        let cost = cost::backward(shape, x.dtype(), self.activation);
        Ok(Gradients::needed(needs, [found.x, found.s], cost))
    }
}
