use crate::{Function, Gradients, Step};
use ghostlight_kernels::{Cost, KernelError, Tensor};

/// `[x]` under another shape of as many elements, in the same memory: `[n, h, w, c]` before a fully connected layer. No launch.
#[derive(Debug, Clone)]
pub struct Reshape {
    /// The extents of the result.
    pub shape: Vec<usize>,
}

impl Function for Reshape {
    /// The extents of `x`.
    type Saved = Vec<usize>;

    fn name(&self) -> &'static str {
        "reshape"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        Ok(Step {
            output: inputs[0].reshape(&self.shape)?,
            saved: inputs[0].shape().to_vec(),
            cost: Cost::default(),
        })
    }

    fn backward(
        &self,
        shape: Self::Saved,
        grad: &Tensor,
        _: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(grad.reshape(&shape)?)],
            cost: Cost::default(),
        })
    }
}
