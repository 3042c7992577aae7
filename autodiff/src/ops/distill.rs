use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::distill::{self, DistillOptions, DistillProblem, Distilled};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Labels, Tensor};
use std::cell::OnceCell;
use std::rc::Rc;

/// A weighted sum of cross-entropy, classical and decoupled distillation of `[student logits [n, c]]`, as `[1]`; see [`distill`].
#[derive(Debug, Clone)]
pub struct Distill {
    /// The teacher's logits `[n, c]`, which get no gradient; wanted by the terms that distil.
    pub teacher: Option<Tensor>,
    /// The true classes, `n` of them; wanted by all terms but classical distillation.
    pub labels: Option<Labels>,
    /// The terms.
    pub options: DistillOptions,
    /// Filled by the first forward pass with each term's own losses: keep a clone of it to read them by name.
    pub terms: Rc<OnceCell<Distilled>>,
}

impl Function for Distill {
    type Saved = Slope;

    fn name(&self) -> &'static str {
        "distill"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (student, teacher, labels) = (inputs[0], self.teacher.as_ref(), self.labels.as_ref());
        let found = distill::distill(student, teacher, labels, &self.options)?;
        let all = found.losses.reshape(&[found.losses.len()])?;
        let step = Step {
            output: sum(&all)?,
            saved: Slope::new(found.grad.clone(), student),
            cost: DistillProblem::new(student, teacher, labels, &self.options)?.cost(),
        };
        self.terms.get_or_init(|| found);
        Ok(step)
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
