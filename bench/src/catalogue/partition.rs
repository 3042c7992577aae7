use super::MapCase;
use crate::suite::Case;
use ghostlight_autodiff::{DType, KernelError};
use ghostlight_kernels::attention::partition::{PartitionKind, PartitionProblem};
use ghostlight_kernels::attention::separable::SeparableProblem;
use serde::{Deserialize, Serialize};

/// A map `[n, h, w, c]` cut into samples of tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionCase {
    /// Whether the pixels at one place of all blocks make a sample, rather than those of one block.
    pub grid: bool,
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Rows of a block.
    pub bh: usize,
    /// Columns of a block.
    pub bw: usize,
}

impl PartitionCase {
    /// Which pixels make a sample.
    pub fn kind(&self) -> PartitionKind {
        match self.grid {
            true => PartitionKind::Grid,
            false => PartitionKind::Block,
        }
    }

    /// The operation's problem.
    ///
    /// # Errors
    /// Those of the problem.
    pub fn problem(&self) -> Result<PartitionProblem, KernelError> {
        let map = [self.n, self.h, self.w, self.c];
        PartitionProblem::new(map, DType::F32, self.kind(), [self.bh, self.bw])
    }
}

impl Case for PartitionCase {
    fn name(&self) -> String {
        let map = MapCase::of([self.n, self.h, self.w, self.c]).name();
        let kind = if self.grid { "grid" } else { "blocks" };
        format!("{map} {kind} {}x{}", self.bh, self.bw)
    }
}

/// Partitions: the first and the last block of MobileViTv2-1.0 and MobileViT-XXS at 256 px (`docs/methods.md` section 7.6 and
/// `docs/methods.md` section 7.7), windows of
/// EfficientViT-M4 with and without filling (section 7.9).
pub fn partitions() -> Vec<PartitionCase> {
    [
        (true, [16, 32, 32, 128], 2),
        (true, [16, 8, 8, 256], 2),
        (true, [16, 32, 32, 64], 2),
        (false, [32, 14, 14, 128], 7),
        (false, [32, 16, 16, 128], 7),
    ]
    .map(|(grid, [n, h, w, c], side)| PartitionCase {
        grid,
        n,
        h,
        w,
        c,
        bh: side,
        bw: side,
    })
    .to_vec()
}

/// Separable attention within `s` samples of `n` tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableCase {
    /// Samples.
    pub s: usize,
    /// Tokens of a sample.
    pub n: usize,
    /// Channels of keys and values.
    pub c: usize,
}

impl SeparableCase {
    /// The operation's problem.
    pub fn problem(&self) -> SeparableProblem {
        SeparableProblem {
            samples: self.s,
            tokens: self.n,
            channels: self.c,
            dtype: DType::F32,
        }
    }
}

impl Case for SeparableCase {
    fn name(&self) -> String {
        format!("s{} n{} {}", self.s, self.n, self.c)
    }
}

/// The three stages of MobileViTv2-0.5 and -1.0 for 16 images of 256 px (`docs/methods.md` section 7.7), and the first of 0.5 for 64 images of 64 px.
pub fn separables() -> Vec<SeparableCase> {
    [
        [64, 256, 64],
        [64, 64, 96],
        [64, 16, 128],
        [64, 256, 128],
        [64, 64, 192],
        [64, 16, 256],
        [256, 16, 64],
    ]
    .map(|[s, n, c]| SeparableCase { s, n, c })
    .to_vec()
}
