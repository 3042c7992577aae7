use ghostlight_kernels::{Cost, KernelError, Tensor};

/// One differentiable operation: how to compute it, what to keep, and how to map gradients back.
pub trait Function: 'static {
    /// What the backward pass needs of the forward pass.
    type Saved: 'static;

    /// The operation's name, as the observer sees it.
    fn name(&self) -> &'static str;

    /// Whether [`Function::backward`] takes a gradient that is a channel window; where it does not, the tape makes it whole first.
    fn reads_windows(&self) -> bool {
        false
    }

    /// Computes the output of `inputs`.
    ///
    /// # Errors
    /// Whatever the operation refuses; nothing is recorded then.
    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError>;

    /// Maps `grad`, of the output's shape, to one gradient per input, of the input's shape; `needs` says which are wanted, and
    /// the others may be `None`.
    ///
    /// # Errors
    /// Whatever the operation's kernels refuse.
    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError>;

    /// [`Function::backward`] where `present` holds the gradients that already arrived at the inputs from elsewhere. What is taken
    /// from there has to be part of the gradient that is returned; the tape adds what is left.
    ///
    /// # Errors
    /// Whatever the operation's kernels refuse.
    fn backward_onto(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
        _present: &mut [Option<Tensor>],
    ) -> Result<Gradients, KernelError> {
        self.backward(saved, grad, needs)
    }
}

/// What a forward pass returns.
pub struct Step<Saved> {
    /// The operation's result.
    pub output: Tensor,
    /// Kept on the tape until the backward pass, and dropped at once when no input needs a gradient.
    pub saved: Saved,
    /// The work done.
    pub cost: Cost,
}

/// What a backward pass returns.
pub struct Gradients {
    /// One per input, `None` where none is needed.
    pub inputs: Vec<Option<Tensor>>,
    /// The work done.
    pub cost: Cost,
}
