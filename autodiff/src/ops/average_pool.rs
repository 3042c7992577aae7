use crate::{Function, Gradients, Step};
use ghostlight_kernels::pool::average::{self, AveragePoolOptions, AveragePoolProblem, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The mean of every window of `[x [n, h, w, c]]`, as `[n, oh, ow, c]`; see [`average`].
#[derive(Debug, Clone, Copy)]
pub struct AveragePool {
    /// The windows.
    pub options: AveragePoolOptions,
}

impl Function for AveragePool {
    type Saved = AveragePoolProblem;

    fn name(&self) -> &'static str {
        "average_pool"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = average::average_pool(x, self.options)?;
        let shape = x.dims_view(self.name(), "x", "[n, h, w, c]")?;
        let saved = AveragePoolProblem::new(shape, x.dtype(), self.options)?;
        let cost = cost::forward(&saved);
        Ok(Step {
            output,
            saved,
            cost,
        })
    }

    fn backward(
        &self,
        problem: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(average::backward(&problem, grad)?)],
            cost: cost::backward(&problem),
        })
    }
}
