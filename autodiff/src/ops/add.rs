use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::{add, cost_of_add};
use ghostlight_kernels::{KernelError, Tensor};

/// The sum of `[a, b]`, both of one shape: a residual connection; see [`add`].
#[derive(Debug, Clone, Copy)]
pub struct Add;

impl Function for Add {
    type Saved = ();

    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<()>, KernelError> {
        let output = add(inputs[0], inputs[1])?;
        let cost = cost_of_add(&output);
        Ok(Step {
            output,
            saved: (),
            cost,
        })
    }

    fn backward(&self, (): (), grad: &Tensor, needs: &[bool]) -> Result<Gradients, KernelError> {
        let all = [grad.clone(), grad.clone()];
        Ok(Gradients::needed(needs, all, Default::default()))
    }
}
