use crate::{Function, Gradients, Step};
use ghostlight_kernels::pool::adaptive_average::{self, AdaptiveAverageProblem, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The means of `[x [n, h, w, c]]` over `output` `[oh, ow]` bins, as `[n, oh, ow, c]`; see [`adaptive_average`].
#[derive(Debug, Clone, Copy)]
pub struct AdaptiveAverage {
    /// Bins along each axis.
    pub output: [usize; 2],
}

impl Function for AdaptiveAverage {
    type Saved = AdaptiveAverageProblem;

    fn name(&self) -> &'static str {
        "adaptive_average"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = adaptive_average::adaptive_average(x, self.output)?;
        let shape = x.dims_view(self.name(), "x", "[n, h, w, c]")?;
        let saved = AdaptiveAverageProblem::new(shape, x.dtype(), self.output)?;
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
            inputs: vec![Some(adaptive_average::backward(&problem, grad)?)],
            cost: cost::backward(&problem),
        })
    }
}
