use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::{convert, cost_of_convert};
use ghostlight_kernels::{DType, KernelError, Tensor, planted};

/// `[x]` in another element type; its gradient comes back in `x`'s own. Parameters of 32 bits thus serve a pass in 16.
#[derive(Debug, Clone, Copy)]
pub struct Convert {
    /// The type.
    pub to: DType,
}

impl Function for Convert {
    /// The type of `x`.
    type Saved = DType;

    fn name(&self) -> &'static str {
        "convert"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        Ok(Step {
            output: convert(x, self.to)?,
            saved: planted::or("convert_forgets_the_type", x.dtype(), self.to),
            cost: cost_of_convert(x, self.to),
        })
    }

    fn backward(
        &self,
        from: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(convert(grad, from)?)],
            cost: cost_of_convert(grad, from),
        })
    }
}
