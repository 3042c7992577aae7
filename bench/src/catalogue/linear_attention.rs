use crate::suite::Case;
use serde::{Deserialize, Serialize};

/// A linear attention of `[n, tokens, groups 3 head]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearAttentionCase {
    /// Images.
    pub n: usize,
    /// Tokens of an image.
    pub tokens: usize,
    /// Heads, of all scales.
    pub groups: usize,
    /// Channels of a query.
    pub head: usize,
}

impl Case for LinearAttentionCase {
    fn name(&self) -> String {
        format!("n{} {}x{}x{}", self.n, self.tokens, self.groups, self.head)
    }
}

/// One scale of EfficientViT's stages: B0's at 224 px and at 64 px, B2's at 224 px.
pub fn linear_attentions() -> Vec<LinearAttentionCase> {
    [
        [32, 196, 4, 16],
        [32, 49, 8, 16],
        [128, 16, 4, 16],
        [128, 4, 8, 16],
        [32, 196, 6, 32],
    ]
    .map(|[n, tokens, groups, head]| LinearAttentionCase {
        n,
        tokens,
        groups,
        head,
    })
    .to_vec()
}
