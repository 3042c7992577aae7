use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::cosine::{self, CosineOptions, CosineProblem};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Tensor};

/// Mean over the samples of one minus the cosine between `[student [n, ..]]` and a teacher that gets no gradient, as `[1]`; see
/// [`cosine`].
#[derive(Debug, Clone)]
pub struct Cosine {
    /// The teacher's logits or features, of the student's shape.
    pub teacher: Tensor,
    /// What is compared.
    pub options: CosineOptions,
}

impl Function for Cosine {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "cosine"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let student = inputs[0];
        let found = cosine::cosine(student, &self.teacher, &self.options)?;
        let problem = CosineProblem::new(student, &self.teacher, &self.options)?;
        Ok(Step {
            output: sum(&found.loss)?,
            saved: Slope::new(found.grad, student),
            cost: problem.cost(),
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
