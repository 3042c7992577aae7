use crate::{Function, Gradients, Step};
use ghostlight_kernels::pointwise::dropout::{self, DropoutOptions, cost};
use ghostlight_kernels::{KernelError, Tensor, planted};

/// `[x]`, of any shape, with elements dropped by chance; see [`dropout`].
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Which elements are dropped.
    pub options: DropoutOptions,
}

impl Function for Dropout {
    /// Nothing: the seed gives the mask again.
    type Saved = ();

    fn name(&self) -> &'static str {
        "dropout"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        Ok(Step {
            output: dropout::dropout(x, self.options)?,
            saved: (),
            cost: cost::forward(x.len(), x.dtype(), self.options.rate),
        })
    }

    fn backward(
        &self,
        (): Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let DropoutOptions { rate, seed } = self.options;
        let seed = planted::or("dropout_forgets_its_mask", seed, seed.wrapping_add(1));
        Ok(Gradients {
            inputs: vec![Some(dropout::dropout(grad, DropoutOptions { rate, seed })?)],
            cost: cost::forward(grad.len(), grad.dtype(), rate),
        })
    }
}
