use crate::ops::{BatchNorm, Statistics};
use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::ghost::module::{self, GhostProblem, Saved, Scales, cost};
use ghostlight_kernels::norm::batch_norm;
use ghostlight_kernels::{KernelError, Tensor};

/// A Ghost module of `[x, primary, gamma, beta, cheap, gamma, beta]`, each gamma and beta those of the norm behind the weight before
/// them; see [`module`].
#[derive(Debug, Clone)]
pub struct Ghost {
    /// Stride and padding of the primary convolution.
    pub options: ConvOptions,
    /// Output channels.
    pub channels: usize,
    /// The norm of the primary half. It also says what bounds both halves, and which statistics they use.
    pub primary_norm: BatchNorm,
    /// The norm of the cheap half.
    pub cheap_norm: BatchNorm,
}

/// What the backward pass needs of the operands: the module's own tensors, and what it saved.
pub struct Kept {
    weights: [Tensor; 2],
    norms: [batch_norm::BatchNorm; 2],
    problem: GhostProblem,
    saved: Saved,
}

impl Ghost {
    fn module<'a>(
        &self,
        [primary, cheap]: [&'a Tensor; 2],
        [primary_norm, cheap_norm]: [&'a batch_norm::BatchNorm; 2],
    ) -> module::Ghost<'a> {
        module::Ghost {
            primary,
            primary_norm,
            cheap,
            cheap_norm,
            options: self.options,
            channels: self.channels,
            clamp: self.primary_norm.clamp,
        }
    }
}

impl Function for Ghost {
    type Saved = Option<Kept>;

    fn name(&self) -> &'static str {
        "ghost"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let (x, weights) = (inputs[0], [inputs[1], inputs[4]]);
        let norms = [
            self.primary_norm.layer(inputs[2], inputs[3]),
            self.cheap_norm.layer(inputs[5], inputs[6]),
        ];
        let ghost = self.module(weights, norms.each_ref());
        let problem = GhostProblem::new(x, &ghost)?;
        if self.primary_norm.statistics == Statistics::Running {
            let scales = Scales {
                primary: self.primary_norm.running_scale(inputs[2])?,
                cheap: self.cheap_norm.running_scale(inputs[5])?,
            };
            let output = module::infer(x, &ghost, &scales)?;
            return Ok(Step {
                output,
                saved: None,
                cost: cost::infer(&problem),
            });
        }
        let (output, saved) = module::train(x, &ghost)?;
        let kept = Kept {
            weights: weights.map(Tensor::clone),
            norms,
            problem,
            saved,
        };
        Ok(Step {
            output,
            saved: Some(kept),
            cost: cost::train(&problem),
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let Some(kept) = saved else {
            let wanted = "the batch's statistics in a pass that needs gradients";
            return Err(KernelError::range(
                self.name(),
                "statistics",
                "running",
                wanted,
            ));
        };
        let ghost = self.module(kept.weights.each_ref(), kept.norms.each_ref());
        let found = module::backward(&ghost, kept.saved, grad)?;
        let [gamma, beta] = found.primary_norm;
        let [cheap_gamma, cheap_beta] = found.cheap_norm;
        let all = [
            found.input,
            found.primary,
            gamma,
            beta,
            found.cheap,
            cheap_gamma,
            cheap_beta,
        ];
        let cost = cost::backward(&kept.problem);
        Ok(Gradients::needed(needs, all, cost))
    }
}
