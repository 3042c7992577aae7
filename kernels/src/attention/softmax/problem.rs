use super::OP;
use crate::matmul::batched::{BatchedOptions, Form};
use crate::{DType, KernelError, Tensor};

/// What is computed of queries, keys and values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionOptions {
    /// Heads.
    pub heads: usize,
    /// What scores are multiplied by ahead of the bias.
    pub scale: f64,
    /// `[h, w]` of the map whose pixels the tokens are, row by row, where a bias is learned for each offset.
    pub offsets: Option<[usize; 2]>,
}

/// Validated extents and options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionProblem {
    /// Samples: what attends to itself alone.
    pub samples: usize,
    /// Tokens of a sample.
    pub tokens: usize,
    /// Channels of a head of queries and keys.
    pub dim: usize,
    /// Channels of a head of values.
    pub dim_v: usize,
    /// Heads, factor and offsets.
    pub options: AttentionOptions,
    /// Element type.
    pub dtype: DType,
}

impl AttentionProblem {
    /// The problem of `q`, `k` `[s, n, heads d]`, `v` `[s, n, heads dv]` and of `bias` `[heads, h w]`, all of which may be windows.
    ///
    /// # Errors
    /// In this order: a `scale` that is not finite; the shape of `q`, which heads divide; shape and element type of `k`; the shape of
    /// `v`, which heads divide, and its element type; offsets without a bias or a bias without them; offsets whose product is not the
    /// number of tokens; shape and element type of the bias.
    pub fn new(
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        bias: Option<&Tensor>,
        options: AttentionOptions,
    ) -> Result<Self, KernelError> {
        let AttentionOptions {
            heads,
            scale,
            offsets,
        } = options;
        KernelError::check_float(OP, "scale", scale, "finite", |_| true)?;
        let [samples, tokens, dim] = of_heads(q, "q", heads)?;
        k.check_view(OP, "k", q.shape(), q.dtype())?;
        let [_, _, dim_v] = of_heads(v, "v", heads)?;
        v.check_view(OP, "v", &[samples, tokens, heads * dim_v], q.dtype())?;
        match (offsets, bias) {
            (None, None) => {}
            (Some([h, w]), Some(bias)) => {
                if h.checked_mul(w) != Some(tokens) {
                    let got = format!("{h} x {w} beside {tokens} tokens");
                    let wanted = "height and width whose product is the number of tokens";
                    return Err(KernelError::range(OP, "offsets", got, wanted));
                }
                bias.check_view(OP, "bias", &[heads, tokens], q.dtype())?;
            }
            (Some(_), None) => {
                return Err(KernelError::range(OP, "bias", "none", "one beside offsets"));
            }
            (None, Some(_)) => {
                let wanted = "height and width of the map beside a bias";
                return Err(KernelError::range(OP, "offsets", "none", wanted));
            }
        }
        Ok(Self {
            samples,
            tokens,
            dim,
            dim_v,
            options,
            dtype: q.dtype(),
        })
    }

    /// The output's shape.
    pub fn output(&self) -> [usize; 3] {
        [self.samples, self.tokens, self.options.heads * self.dim_v]
    }

    /// A product of all heads.
    pub(super) fn product(&self, form: Form, alpha: f64) -> BatchedOptions {
        let heads = self.options.heads;
        BatchedOptions { heads, form, alpha }
    }
}

/// Samples, tokens and channels of a head.
fn of_heads(tensor: &Tensor, name: &'static str, heads: usize) -> Result<[usize; 3], KernelError> {
    let wanted = format!("[s, n, {heads} x channels], at least one channel a head");
    let [samples, tokens, channels] = tensor.dims_view(OP, name, &wanted)?;
    if channels == 0 || heads == 0 || !channels.is_multiple_of(heads) {
        return Err(KernelError::Shape {
            op: OP,
            tensor: name,
            got: tensor.shape().to_vec(),
            wanted,
        });
    }
    Ok([samples, tokens, channels / heads])
}
