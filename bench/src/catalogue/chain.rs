use super::{one, three};
use crate::suite::Case;
use serde::{Deserialize, Serialize};

/// A batch norm with ReLU, and the convolution that reads it, padded by half its kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainCase {
    /// Images.
    pub n: usize,
    /// Rows of an image.
    pub h: usize,
    /// Columns of an image.
    pub w: usize,
    /// Channels of the norm.
    pub ci: usize,
    /// Output channels.
    pub co: usize,
    /// Taps along each axis.
    #[serde(default = "three")]
    pub k: usize,
    /// Pixels between neighbouring windows.
    #[serde(default = "one")]
    pub s: usize,
    /// Groups; as many as channels make it depthwise.
    #[serde(default = "one")]
    pub g: usize,
}

impl Case for ChainCase {
    fn name(&self) -> String {
        let Self { n, h, w, .. } = self;
        let (ci, co, k, s, g) = (self.ci, self.co, self.k, self.s, self.g);
        format!("n{n} {h}x{w} {ci}->{co} k{k} s{s} g{g}")
    }
}

/// Norms and their readers in networks of 64 px images: a ResNet's blocks, MobileNetV2's wide maps, a RegNet's groups.
pub fn chains() -> Vec<ChainCase> {
    [
        [64, 64, 16, 16, 3, 1, 1],
        [64, 16, 64, 64, 3, 1, 1],
        [64, 32, 96, 96, 3, 2, 96],
        [64, 16, 144, 144, 3, 1, 144],
        [64, 16, 144, 24, 1, 1, 1],
        [64, 8, 192, 32, 1, 1, 1],
        [64, 16, 56, 56, 3, 1, 7],
    ]
    .map(|[n, side, ci, co, k, s, g]| ChainCase {
        n,
        h: side,
        w: side,
        ci,
        co,
        k,
        s,
        g,
    })
    .to_vec()
}
