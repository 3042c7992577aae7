use ghostlight_kernels::optim::adamw::{AdamWOptions, AdamWState, step};
use ghostlight_kernels::pointwise::fill;
use ghostlight_kernels::{KernelError, Tensor, planted};

/// AdamW over one flat buffer of parameters, with its moments; see [`ghostlight_kernels::optim::adamw`].
pub struct AdamW {
    first: Tensor,
    second: Tensor,
    steps: u64,
}

impl AdamW {
    /// An optimiser at rest for `params`.
    pub fn new(params: &Tensor) -> Self {
        let zeros = || Tensor::zeros(params.client(), params.shape(), params.dtype());
        Self {
            first: zeros(),
            second: zeros(),
            steps: 0,
        }
    }

    /// The mean gradient and the mean squared gradient, of the parameters' shape. A checkpoint keeps them and [`AdamW::steps`].
    pub fn moments(&self) -> [&Tensor; 2] {
        [&self.first, &self.second]
    }

    /// How many steps were taken; the corrections of the moments depend on it.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes over moments of the parameters' shape and the number of steps that they come from, as [`AdamW::moments`] and
    /// [`AdamW::steps`] gave them.
    ///
    /// # Errors
    /// Shape or element type of the first or of the second moment differs from the parameters', or one is a window. Nothing has
    /// changed then.
    pub fn restore(&mut self, moments: [&Tensor; 2], steps: u64) -> Result<(), KernelError> {
        for (name, moment) in ["first", "second"].into_iter().zip(moments) {
            moment.check("adamw", name, self.first.shape(), self.first.dtype())?;
        }
        let [first, second] = moments.map(Tensor::clone);
        *self = Self {
            first,
            second,
            steps: planted::or("adamw_restores_no_steps", steps, 0),
        };
        Ok(())
    }

    /// Takes one step and clears the gradients. Two launches, however many parameters there are.
    ///
    /// # Errors
    /// Those of [`step`]; a refused step is not counted.
    pub fn step(
        &mut self,
        params: &Tensor,
        grads: &Tensor,
        decayed: &Tensor,
        options: &AdamWOptions,
    ) -> Result<(), KernelError> {
        let state = AdamWState {
            params,
            first: &self.first,
            second: &self.second,
        };
        let number = self.steps.saturating_add(1);
        step(state, grads, decayed, options, number)?;
        self.steps = planted::or("adamw_counts_no_steps", number, 0);
        fill(grads, 0.0);
        Ok(())
    }
}
