use crate::{Function, Gradients, Step};
use ghostlight_kernels::pool::max::{self, MaxPoolOptions, Winners, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The maximum of every window of `[x [n, h, w, c]]`, as `[n, oh, ow, c]`; see [`max`].
#[derive(Debug, Clone, Copy)]
pub struct MaxPool {
    /// The windows.
    pub options: MaxPoolOptions,
}

impl Function for MaxPool {
    type Saved = Winners;

    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (output, saved) = max::train(inputs[0], self.options)?;
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
            inputs: vec![Some(max::backward(&saved, grad)?)],
            cost: cost::backward(saved.problem()),
        })
    }
}
