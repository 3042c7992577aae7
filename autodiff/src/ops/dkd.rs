use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::dkd::{self, DkdOptions, DkdProblem};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Labels, Tensor};

/// Decoupled distillation of `[student logits [n, c]]` from a teacher that gets no gradient, as `[1]`; see [`dkd`].
#[derive(Debug, Clone)]
pub struct Dkd {
    /// The teacher's logits `[n, c]`.
    pub teacher: Tensor,
    /// The true classes, `n` of them.
    pub labels: Labels,
    /// Weights and temperature.
    pub options: DkdOptions,
}

impl Function for Dkd {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "dkd"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let student = inputs[0];
        let found = dkd::dkd(student, &self.teacher, &self.labels, &self.options)?;
        let problem = DkdProblem::new(student, &self.teacher, &self.labels, &self.options)?;
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
