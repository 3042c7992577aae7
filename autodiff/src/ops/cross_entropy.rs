use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::cross_entropy::{self, CrossEntropyProblem};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::pointwise::scale_to;
use ghostlight_kernels::{Cost, DType, KernelError, Labels, Tensor};

/// Mean softmax cross-entropy of `[logits [n, c]]`, as `[1]`; see [`cross_entropy`].
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// The true classes, `n` of them.
    pub labels: Labels,
    /// Share of the target spread evenly over all classes; 0 to 1, 1 excluded.
    pub smoothing: f64,
}

impl Function for CrossEntropy {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let logits = inputs[0];
        let found = cross_entropy::cross_entropy(logits, &self.labels, self.smoothing)?;
        let cost = CrossEntropyProblem::new(logits, &self.labels, self.smoothing)?.cost();
        Ok(Step {
            output: sum(&found.loss)?,
            saved: Slope::new(found.grad, logits),
            cost,
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        saved.scaled(grad)
    }
}

/// What a scalar loss saves: its gradient, in the accumulator of the input's element type.
///
/// A seed of the backward pass is a loss scale: it multiplies the gradient before 16 bits round it.
#[derive(Debug, Clone)]
pub struct Slope {
    grad: Tensor,
    dtype: DType,
}

impl Slope {
    /// The gradient with respect to `input`.
    pub(super) fn new(grad: Tensor, input: &Tensor) -> Self {
        let dtype = input.dtype();
        Self { grad, dtype }
    }

    /// The gradient times what arrives at the loss, rounded once to the input's element type.
    pub(super) fn scaled(&self, arrived: &Tensor) -> Result<Gradients, KernelError> {
        let (len, size) = (self.grad.len(), self.grad.dtype().size());
        let cost = Cost::traffic(len + 1, 0, size) + Cost::traffic(0, len, self.dtype.size());
        Ok(Gradients {
            inputs: vec![Some(scale_to(&self.grad, arrived, self.dtype)?)],
            cost,
        })
    }
}
