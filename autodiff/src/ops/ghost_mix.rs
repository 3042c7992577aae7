use crate::ops::{BatchNorm, Statistics};
use crate::{Function, Gradients, Step};
use ghostlight_kernels::ghost::mix::{self, Mix, MixProblem, Saved, Scales, cost};
use ghostlight_kernels::norm::batch_norm;
use ghostlight_kernels::{KernelError, Tensor};

/// The ghost half of a G-Ghost stage, of `[x0, feature.., cheap, gamma, beta, first, gamma, beta, second, gamma, beta]`, each gamma and
/// beta those of the norm behind the weight before them; see [`mix`].
#[derive(Debug, Clone)]
pub struct GhostMix {
    /// The norm of the cheap branch. It also says which statistics all three use.
    pub cheap_norm: BatchNorm,
    /// The norm of the mix' first layer.
    pub first_norm: BatchNorm,
    /// The norm of the mix' second layer.
    pub second_norm: BatchNorm,
    /// Where the result goes: `[n, h, w, c]`, usually the window of the stage's output behind the last feature.
    pub out: Tensor,
}

/// The weights and norms of one call, in the order cheap, first, second.
#[derive(Clone)]
struct Operands {
    weights: [Tensor; 3],
    norms: [batch_norm::BatchNorm; 3],
}

impl Operands {
    fn mix(&self) -> Mix<'_> {
        let [cheap, first, second] = self.weights.each_ref();
        let [cheap_norm, first_norm, second_norm] = self.norms.each_ref();
        Mix {
            cheap,
            cheap_norm,
            first,
            first_norm,
            second,
            second_norm,
        }
    }
}

/// What the backward pass needs.
pub struct Kept {
    operands: Operands,
    problem: MixProblem,
    saved: Saved,
}

/// Tensors behind `x0` and the features: three weights, each with its gamma and beta.
const PARAMETERS: usize = 9;

impl Function for GhostMix {
    type Saved = Option<Kept>;

    fn name(&self) -> &'static str {
        "ghost_mix"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let maps = inputs.len().saturating_sub(PARAMETERS);
        let ([x0, features @ ..], [cheap, cg, cb, first, fg, fb, second, sg, sb]) =
            inputs.split_at(maps)
        else {
            let wanted = "x0, one feature or more, and nine parameters";
            return Err(KernelError::range(
                self.name(),
                "inputs",
                inputs.len(),
                wanted,
            ));
        };
        let operands = Operands {
            weights: [cheap, first, second].map(|weight| (*weight).clone()),
            norms: [
                self.cheap_norm.layer(cg, cb),
                self.first_norm.layer(fg, fb),
                self.second_norm.layer(sg, sb),
            ],
        };
        let problem = MixProblem::new(x0, features, &operands.mix())?;
        if self.cheap_norm.statistics == Statistics::Running {
            let scales = Scales {
                cheap: self.cheap_norm.running_scale(cg)?,
                first: self.first_norm.running_scale(fg)?,
                second: self.second_norm.running_scale(sg)?,
            };
            mix::infer(x0, features, &operands.mix(), &scales, &self.out)?;
            return Ok(Step {
                output: self.out.clone(),
                saved: None,
                cost: cost::infer(&problem),
            });
        }
        let saved = mix::train(x0, features, &operands.mix(), &self.out)?;
        let kept = Kept {
            operands,
            problem,
            saved,
        };
        Ok(Step {
            output: self.out.clone(),
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
        let found = mix::backward(&kept.operands.mix(), &kept.saved, grad)?;
        let maps = std::iter::once(found.x0).chain(found.features);
        let parameters = [found.cheap, found.first, found.second];
        let all = maps.chain(parameters.into_iter().flatten());
        let cost = cost::backward(&kept.problem);
        Ok(Gradients::needed(needs, all, cost))
    }
}
