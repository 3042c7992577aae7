use crate::{Function, Gradients, Step};
use ghostlight_kernels::resize::bilinear::{self, Alignment, BilinearProblem, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// `[x [n, h, w, c]]` resized to `output` `[oh, ow]`; see [`bilinear`].
#[derive(Debug, Clone, Copy)]
pub struct Bilinear {
    /// Height and width of the result.
    pub output: [usize; 2],
    /// Which places of input and output coincide.
    pub alignment: Alignment,
}

impl Function for Bilinear {
    type Saved = BilinearProblem;

    fn name(&self) -> &'static str {
        "bilinear"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = bilinear::bilinear(x, self.output, self.alignment)?;
        let shape = x.dims_view(self.name(), "x", "[n, h, w, c]")?;
        let saved = BilinearProblem::new(shape, x.dtype(), self.output, self.alignment)?;
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
            inputs: vec![Some(bilinear::backward(&problem, grad)?)],
            cost: cost::backward(&problem),
        })
    }
}
