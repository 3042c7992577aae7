use ghostlight_kernels::optim::sgd::{SgdOptions, step};
use ghostlight_kernels::pointwise::fill;
use ghostlight_kernels::{KernelError, Tensor, planted};

/// SGD over one flat buffer of parameters, with its velocity; see [`ghostlight_kernels::optim::sgd`].
pub struct Sgd {
    velocity: Tensor,
}

impl Sgd {
    /// An optimiser at rest for `params`.
    pub fn new(params: &Tensor) -> Self {
        let velocity = Tensor::zeros(params.client(), params.shape(), params.dtype());
        Self { velocity }
    }

    /// The velocity, of the parameters' shape; what a checkpoint keeps.
    pub fn velocity(&self) -> &Tensor {
        &self.velocity
    }

    /// Takes over a velocity of the parameters' shape, as [`Sgd::velocity`] gave it.
    ///
    /// # Errors
    /// Its shape or element type differs from the parameters'.
    pub fn restore(&mut self, velocity: &Tensor) -> Result<(), KernelError> {
        velocity.check(
            "sgd",
            "velocity",
            self.velocity.shape(),
            self.velocity.dtype(),
        )?;
        self.velocity = planted::or("sgd_restores_nothing", velocity, &self.velocity).clone();
        Ok(())
    }

    /// Takes one step and clears the gradients. Two launches, however many parameters there are.
    ///
    /// # Errors
    /// Those of [`step`].
    pub fn step(
        &mut self,
        params: &Tensor,
        grads: &Tensor,
        decayed: &Tensor,
        options: &SgdOptions,
    ) -> Result<(), KernelError> {
        step(params, grads, &self.velocity, decayed, options)?;
        if !planted::is("sgd_keeps_its_gradients") {
            fill(grads, 0.0);
        }
        Ok(())
    }
}
