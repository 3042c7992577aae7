use ghostlight_kernels::{Cost, KernelError, Tensor};

/// One differentiable operation: how to compute it, what to keep, and how to map gradients back.
pub trait Function: 'static {
    /// What the backward pass needs of the forward pass.
    type Saved: 'static;

    /// The operation's name, as the observer sees it.
    fn name(&self) -> &'static str;

    /// Whether [`Function::backward`] takes a gradient that is a channel window. Where it does not, the tape makes it whole first.
    fn reads_windows(&self) -> bool {
        false
    }

    /// Computes the output of `inputs`.
    ///
    /// # Errors
    /// Whatever the operation refuses; nothing is recorded then.
    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError>;

    /// Maps `grad`, of the output's shape, to the gradients of the inputs. It works on tensors, so that it cannot be differentiated.
    ///
    /// `needs` says for each input whether its gradient is wanted. Those that are wanted have the input's shape and element type and may
    /// be channel windows; the others are `None`. The tape refuses anything else, naming the operation.
    ///
    /// # Errors
    /// Whatever the operation's kernels refuse.
    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError>;

    /// [`Function::backward`] where `present` holds the gradients that already arrived at the inputs from elsewhere.
    ///
    /// A gradient that is taken from there has to be part of the one that is returned. The tape adds those that are left.
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

impl Gradients {
    /// Those of `all` that the inputs need: for an operation whose kernels compute the gradients of all inputs at once.
    pub fn needed(needs: &[bool], all: impl IntoIterator<Item = Tensor>, cost: Cost) -> Self {
        // Gradients of inputs that do not exist stay, for the tape to refuse.
        let needs = needs.iter().copied().chain(std::iter::repeat(true));
        let inputs = all.into_iter().zip(needs);
        Self {
            inputs: inputs
                .map(|(grad, needed)| needed.then_some(grad))
                .collect(),
            cost,
        }
    }
}
