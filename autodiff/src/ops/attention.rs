use crate::{Function, Gradients, Step};
use ghostlight_kernels::attention::softmax::{self, AttentionOptions, Saved, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// Softmax attention in heads, with a learned bias by offset or without; see [`softmax`](ghostlight_kernels::attention::softmax).
///
/// Its inputs are `[q [s, n, heads d], k [s, n, heads d], v [s, n, heads dv]]`, or all three side by side in one, `[qkv [s, n, 3 heads
/// d]]`, whose gradient is then written as one tensor; with `offsets`, the bias `[heads, h w]` follows. All may be channel windows.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Heads.
    pub heads: usize,
    /// What scores are multiplied by, usually one over the root of `d`.
    pub scale: f64,
    /// `[h, w]` of the map whose pixels the tokens are, where a bias is learned for each offset.
    pub offsets: Option<[usize; 2]>,
}

impl Function for Attention {
    /// What the kernels keep, and whether queries, keys and values were one input.
    type Saved = (Saved, bool);

    fn name(&self) -> &'static str {
        "attention"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let biases = usize::from(self.offsets.is_some());
        let (operands, bias) = inputs.split_at(inputs.len().saturating_sub(biases));
        let bias = bias.first().copied();
        let options = AttentionOptions {
            heads: self.heads,
            scale: self.scale,
            offsets: self.offsets,
        };
        let (packed, (output, saved)) = match *operands {
            [qkv] => {
                let [q, k, v] = softmax::packed(qkv, self.heads)?;
                (true, softmax::attention(&q, &k, &v, bias, options)?)
            }
            [q, k, v] => (false, softmax::attention(q, k, v, bias, options)?),
            _ => {
                let got = format!("are {}", inputs.len());
                return Err(KernelError::Contract {
                    op: self.name(),
                    subject: "inputs".into(),
                    got: got.into(),
                    wanted: "qkv, or q, k and v, and behind them a bias where there are offsets"
                        .into(),
                });
            }
        };
        let cost = cost::forward(saved.problem());
        Ok(Step {
            output,
            saved: (saved, packed),
            cost,
        })
    }

    fn backward(
        &self,
        (saved, packed): Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let cost = cost::backward(saved.problem());
        let (mut all, bias) = if packed {
            let (qkv, bias) = softmax::backward_packed(saved, grad)?;
            (vec![qkv], bias)
        } else {
            let found = softmax::backward(saved, grad)?;
            (vec![found.q, found.k, found.v], found.bias)
        };
        all.extend(bias);
        Ok(Gradients::needed(needs, all, cost))
    }
}
