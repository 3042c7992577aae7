use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::flip_align::{FlipAlignment, FlipOptions, FlipProblem, flip_align};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Tensor};
use std::rc::Rc;

/// Sees what an alignment found: distances, weights and chosen transforms, still on the device.
pub type Report = Rc<dyn Fn(&FlipAlignment)>;

/// The flip-adjusted distance of `[student maps [n, h, w, c]]` from a teacher's that get no gradient, as `[1]`; see [`flip_align`].
#[derive(Clone)]
pub struct FlipAlign {
    /// The teacher's maps `[n, h, w, c]`; resize and adapt the student's to them first.
    pub teacher: Tensor,
    /// Group, selection and normalisation.
    pub options: FlipOptions,
    /// Called by the forward pass.
    pub report: Option<Report>,
}

impl Function for FlipAlign {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "flip_align"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let student = inputs[0];
        let found = flip_align(student, &self.teacher, &self.options)?;
        let problem = FlipProblem::new(student, &self.teacher, &self.options)?;
        if let Some(report) = &self.report {
            report(&found);
        }
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
