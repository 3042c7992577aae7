use super::cross_entropy::Slope;
use crate::{Function, Gradients, Step};
use ghostlight_kernels::loss::distill::{self, DistillOptions, DistillProblem, Distilled};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{KernelError, Labels, Tensor};
use std::cell::OnceCell;
use std::rc::Rc;

/// A weighted sum of cross-entropy and of what up to four teachers say, classical and decoupled distillation and cosines, of
/// `[student logits [n, c]]`, as `[1]`; see [`distill`].
#[derive(Debug, Clone)]
pub struct Distill {
    /// The teachers' logits `[n, c]`, which get no gradient: as many as the options have terms for.
    pub teachers: Vec<Tensor>,
    /// The true classes, `n` of them; wanted by the cross-entropy and by decoupled distillation.
    pub labels: Option<Labels>,
    /// What the cross-entropy, then each teacher's terms are multiplied by, `[1 + teachers]` or `[n, 1 + teachers]`; no gradient flows into
    /// them.
    pub factors: Option<Tensor>,
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
        let (student, teachers, options) = (inputs[0], &self.teachers, &self.options);
        let (labels, factors) = (self.labels.as_ref(), self.factors.as_ref());
        let found = distill::distill(student, teachers, labels, factors, options)?;
        let all = found.losses.reshape(&[found.losses.len()])?;
        let step = Step {
            output: sum(&all)?,
            saved: Slope::new(found.grad.clone(), student),
            cost: DistillProblem::new(student, teachers, labels, factors, options)?.cost(),
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
