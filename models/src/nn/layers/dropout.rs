use crate::nn::Pass;
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::pointwise::dropout::DropoutOptions;

/// Dropout (`docs/methods.md` section 8.4): a training step sets each element to 0 with one probability and scales the others up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// A layer that drops with the probability `rate`, unless the pass has a rate of its own.
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// Drops elements of `x`, of any shape; nothing in a pass without randomness.
    ///
    /// # Errors
    /// Those of the kernel: a rate that is not at least 0 and below 1.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let Some(randomness) = &pass.randomness else {
            return Ok(x.clone());
        };
        let (seed, rate) = randomness.next_dropout(self.rate);
        let options = DropoutOptions { rate, seed };
        pass.tape.apply(ops::Dropout { options }, &[x])
    }
}
