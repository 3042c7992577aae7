use crate::suite::Case;
use serde::{Deserialize, Serialize};

/// A Ghost module of ratio 2 with kernels of 1 and 3.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GhostCase {
    /// Images.
    pub n: usize,
    /// Rows of an image.
    pub h: usize,
    /// Columns of an image.
    pub w: usize,
    /// Input channels.
    pub ci: usize,
    /// Output channels.
    pub co: usize,
}

impl Case for GhostCase {
    fn name(&self) -> String {
        format!("n{} {}x{} {}->{}", self.n, self.h, self.w, self.ci, self.co)
    }
}

/// Ghost modules: those of GhostNet 1.0x, from its first bottleneck to its last stage.
pub fn ghost() -> Vec<GhostCase> {
    [
        [8, 112, 16, 16],
        [8, 56, 24, 72],
        [8, 28, 40, 120],
        [8, 14, 112, 672],
        [8, 7, 160, 960],
        // Half the width, and a width that drops a channel.
        [8, 28, 20, 60],
        [8, 14, 56, 183],
    ]
    .map(|[n, side, ci, co]| GhostCase {
        n,
        h: side,
        w: side,
        ci,
        co,
    })
    .to_vec()
}
