use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::kd::{self, KdOptions, KdProblem};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Tensor};

/// Classical distillation of `[student logits [n, c]]` from a teacher that gets no gradient, as `[1]`; see [`kd`].
#[derive(Debug, Clone)]
pub struct Kd {
    /// The teacher's logits `[n, c]`.
    pub teacher: Tensor,
    /// Weight and temperature.
    pub options: KdOptions,
}

impl Function for Kd {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "kd"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let student = inputs[0];
        let found = kd::kd(student, &self.teacher, &self.options)?;
        Ok(Step {
            output: sum(&found.loss)?,
            saved: Slope::new(found.grad, student),
            cost: KdProblem::new(student, &self.teacher, &self.options)?.cost(),
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
