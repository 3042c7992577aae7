use crate::suite::Case;
use ghostlight_autodiff::DType;
use ghostlight_kernels::attention::softmax::{AttentionOptions, AttentionProblem};
use serde::{Deserialize, Serialize};

/// Softmax attention of `s` samples of `n` tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionCase {
    /// Samples.
    pub s: usize,
    /// Tokens of a sample.
    pub n: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head of queries and keys.
    pub d: usize,
    /// Channels of a head of values.
    pub dv: usize,
    /// The side of the square map whose pixels the tokens are, where a bias is learned for each offset; else 0.
    #[serde(default)]
    pub side: usize,
}

impl AttentionCase {
    fn of([s, n, heads, d, dv, side]: [usize; 6]) -> Self {
        Self {
            s,
            n,
            heads,
            d,
            dv,
            side,
        }
    }

    /// The operation's problem.
    pub fn problem(&self) -> AttentionProblem {
        AttentionProblem {
            samples: self.s,
            tokens: self.n,
            dim: self.d,
            dim_v: self.dv,
            options: AttentionOptions {
                heads: self.heads,
                scale: 1.0 / (self.d as f64).sqrt(),
                offsets: (self.side > 0).then_some([self.side; 2]),
            },
            dtype: DType::F32,
        }
    }
}

impl Case for AttentionCase {
    fn name(&self) -> String {
        let Self {
            s,
            n,
            heads,
            d,
            dv,
            side,
        } = self;
        let bias = if *side > 0 { " bias" } else { "" };
        format!("s{s} n{n} {heads}x{d},{dv}{bias}")
    }
}

/// The three stages of MobileViT XXS and S for 8 images of 256 px (`docs/methods.md` section 7.6), the last of XXS for 32 images of 64
/// px, and those of EfficientViT-M4 for 32 images of 224 px, a head at a time (section 7.9).
pub fn attentions() -> Vec<AttentionCase> {
    [
        [32, 256, 4, 16, 16, 0],
        [32, 64, 4, 20, 20, 0],
        [32, 16, 4, 24, 24, 0],
        [32, 256, 4, 36, 36, 0],
        [32, 64, 4, 48, 48, 0],
        [32, 16, 4, 60, 60, 0],
        [128, 4, 4, 24, 24, 0],
        [128, 49, 1, 16, 32, 7],
        [32, 49, 1, 16, 64, 7],
        [32, 16, 1, 16, 96, 4],
    ]
    .map(AttentionCase::of)
    .to_vec()
}
