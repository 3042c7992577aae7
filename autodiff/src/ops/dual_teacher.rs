use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::dual_teacher::{Teachers, dual_teacher};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Labels, Tensor};

/// Distillation of `[student logits [n, c]]` from two teachers that get no gradient, as `[1]`; see [`Teachers`].
///
/// The cost is that of the loss; the teachers were weighed before, once a batch.
#[derive(Debug, Clone)]
pub struct DualTeacher {
    /// Both teachers' logits of this batch, weighed.
    pub teachers: Teachers,
    /// The true classes, `n` of them.
    pub labels: Labels,
}

impl Function for DualTeacher {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "dual_teacher"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let found = dual_teacher(inputs[0], &self.teachers, &self.labels)?;
        Ok(Step {
            output: sum(&found.loss)?,
            saved: Slope::new(found.grad, inputs[0]),
            cost: self.teachers.problem().cost(),
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
