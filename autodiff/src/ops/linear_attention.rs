use crate::{Function, Gradients, Step};
use ghostlight_kernels::attention::linear::{
    LinearAttentionProblem, backward, cost, linear_attention, linear_attention_into,
};
use ghostlight_kernels::{KernelError, Tensor};

/// ReLU linear attention of `[qkv [s, .., groups 3 head]]`; see [`linear_attention`].
#[derive(Debug, Clone)]
pub struct LinearAttention {
    /// Channels of a query.
    pub head: usize,
    /// Added to the divisors.
    pub epsilon: f64,
    /// Where the result goes: `[s, .., groups head]`, usually a channel window. `None` makes a tensor.
    pub into: Option<Tensor>,
}

impl Function for LinearAttention {
    /// `qkv`.
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "linear_attention"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let qkv = inputs[0];
        let problem = LinearAttentionProblem::new(qkv, self.head, self.epsilon)?;
        let output = match &self.into {
            Some(into) => {
                linear_attention_into(qkv, self.head, self.epsilon, into)?;
                into.clone()
            }
            None => linear_attention(qkv, self.head, self.epsilon)?,
        };
        Ok(Step {
            output,
            saved: qkv.clone(),
            cost: cost::forward(&problem),
        })
    }

    fn backward(
        &self,
        qkv: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let problem = LinearAttentionProblem::new(&qkv, self.head, self.epsilon)?;
        Ok(Gradients {
            inputs: vec![Some(backward(&qkv, grad, self.head, self.epsilon)?)],
            cost: cost::backward(&problem),
        })
    }
}
