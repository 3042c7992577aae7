use crate::ops::{AnyConv, BatchNorm};
use crate::{Function, Gradients, Step};
use ghostlight_kernels::norm::batch_norm::{self, BatchNormProblem, Saved, cost};
use ghostlight_kernels::{KernelError, Source, Tensor};

/// A batch norm in training and the convolution that reads it, of `[y, gamma, beta, weight]`: the normalised map is computed while the
/// convolution loads `y`, forward and backward, and written nowhere; see [`Source`].
///
/// It has the bits of a [`BatchNorm`] followed by the convolution.
#[derive(Debug, Clone)]
pub struct NormConv {
    /// The norm of `y` and what bounds it. It is of the batch's statistics, and writes nowhere, whatever it says.
    pub norm: BatchNorm,
    /// The convolution.
    pub conv: AnyConv,
}

/// What the backward pass needs.
pub struct Kept {
    norm: batch_norm::BatchNorm,
    saved: Saved,
    weight: Tensor,
    problem: BatchNormProblem,
}

impl Function for NormConv {
    type Saved = Kept;

    fn name(&self) -> &'static str {
        "norm_conv"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Kept>, KernelError> {
        let (y, weight) = (inputs[0], inputs[3]);
        let norm = self.norm.layer(inputs[1], inputs[2]);
        let problem = BatchNormProblem::new(y, &norm, None)?;
        let costs = self.conv.costs(y, weight)?;
        let saved = batch_norm::open(y, &norm, self.norm.clamp)?;
        let affine = saved.affine(&norm);
        let output = self.conv.convolve(Source::through(y, &affine), weight)?;
        Ok(Step {
            output,
            cost: cost::statistics(&problem) + costs.forward,
            saved: Kept {
                norm,
                saved,
                weight: weight.clone(),
                problem,
            },
        })
    }

    fn backward(
        &self,
        kept: Kept,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let Kept {
            norm,
            saved,
            weight,
            problem,
        } = kept;
        let costs = self.conv.costs(saved.input(), &weight)?;
        let mut cost = costs.grad_input + cost::backward(&problem, false);
        let mut by_weight = None;
        if needs[3] {
            cost += costs.grad_weight;
            let affine = saved.affine(&norm);
            let source = Source::through(saved.input(), &affine);
            by_weight = Some(self.conv.grad_weight(source, &weight, grad)?);
        }
        if !needs[..3].contains(&true) {
            let inputs = vec![None, None, None, by_weight];
            let cost = costs.grad_weight;
            return Ok(Gradients { inputs, cost });
        }
        let by_norm = self.conv.grad_input(saved.input(), &weight, grad)?;
        let found = batch_norm::backward(&norm, saved, &by_norm)?;
        let all = [found.input, found.gamma, found.beta].into_iter();
        let mut inputs: Vec<_> = all.zip(needs).map(|(grad, &n)| n.then_some(grad)).collect();
        inputs.push(by_weight);
        Ok(Gradients { inputs, cost })
    }
}
