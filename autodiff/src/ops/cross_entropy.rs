use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::cross_entropy::{self, CrossEntropyProblem};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::pointwise::scale;
use ghostlight_kernels::{Cost, KernelError, Labels, Tensor, planted};

/// Mean softmax cross-entropy of `[logits [n, c]]`, as `[1]`; see [`cross_entropy`].
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// The true classes, `n` of them.
    pub labels: Labels,
    /// Share of the target spread evenly over all classes; 0 to 1, 1 excluded.
    pub smoothing: f64,
}

impl Function for CrossEntropy {
    /// The gradient of the loss with respect to the logits.
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let logits = inputs[0];
        let found = cross_entropy::cross_entropy(logits, &self.labels, self.smoothing)?;
        let cost = CrossEntropyProblem::new(logits, &self.labels, self.smoothing)?.cost();
        Ok(Step {
            output: sum(&found.loss)?,
            saved: found.grad,
            cost,
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        scaled(&saved, grad)
    }
}

/// The saved gradient of a scalar loss, times the gradient that arrives at the loss.
pub(super) fn scaled(saved: &Tensor, grad: &Tensor) -> Result<Gradients, KernelError> {
    let cost = Cost::traffic(saved.len() + 1, saved.len(), saved.dtype().size());
    let whole = planted::or(
        "loss_without_its_weight",
        scale(saved, grad)?,
        saved.clone(),
    );
    Ok(Gradients {
        inputs: vec![Some(whole)],
        cost,
    })
}
