use crate::{Function, Gradients, Step};
use ghostlight_kernels::pool::global_average::{self, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// The mean over all pixels of `[x [n, h, w, c]]`, as `[n, c]`; see [`global_average`].
#[derive(Debug, Clone, Copy)]
pub struct GlobalAverage;

impl Function for GlobalAverage {
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "global_average"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = global_average::global_average(x)?;
        let cost = cost::forward(x.nhwc(self.name(), "x")?, x.dtype());
        Ok(Step {
            output,
            saved: x.clone(),
            cost,
        })
    }

    fn backward(
        &self,
        x: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let cost = cost::backward(x.nhwc(self.name(), "x")?, x.dtype());
        Ok(Gradients {
            inputs: vec![Some(global_average::backward(&x, grad)?)],
            cost,
        })
    }
}
