use super::MapCase;
use crate::suite::Case;
use ghostlight_autodiff::{DType, KernelError};
use ghostlight_kernels::pool::adaptive_average::AdaptiveAverageProblem;
use ghostlight_kernels::pool::average::{AveragePoolOptions, AveragePoolProblem};
use ghostlight_kernels::pool::max::{MaxPoolOptions, MaxPoolProblem};
use ghostlight_kernels::resize::bilinear::{Alignment, BilinearProblem};
use serde::{Deserialize, Serialize};

/// A pooling of a map `[n, h, w, c]` with a square window.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolCase {
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Rows and columns of a window.
    pub k: usize,
    /// Pixels from one window to the next.
    pub s: usize,
    /// Padding at every side.
    pub p: usize,
}

impl PoolCase {
    fn of([n, h, w, c]: [usize; 4], [k, s, p]: [usize; 3]) -> Self {
        Self {
            n,
            h,
            w,
            c,
            k,
            s,
            p,
        }
    }

    fn input(&self) -> [usize; 4] {
        [self.n, self.h, self.w, self.c]
    }

    /// The maximum of each window.
    ///
    /// # Errors
    /// Those of the problem.
    pub fn max(&self) -> Result<MaxPoolProblem, KernelError> {
        let options = MaxPoolOptions::square(self.k, self.s, self.p);
        MaxPoolProblem::new(self.input(), DType::F32, options)
    }

    /// The mean of each window.
    ///
    /// # Errors
    /// Those of the problem.
    pub fn average(&self) -> Result<AveragePoolProblem, KernelError> {
        let options = AveragePoolOptions::square(self.k, self.s, self.p);
        AveragePoolProblem::new(self.input(), DType::F32, options)
    }
}

impl Case for PoolCase {
    fn name(&self) -> String {
        let map = MapCase::of(self.input()).name();
        format!("{map} k{} s{} p{}", self.k, self.s, self.p)
    }
}

/// Max poolings: the stem of a ResNet and VGG's, one of them narrow.
pub fn max_pools() -> Vec<PoolCase> {
    vec![
        PoolCase::of([8, 112, 112, 64], [3, 2, 1]),
        PoolCase::of([16, 64, 64, 64], [2, 2, 0]),
        PoolCase::of([16, 56, 56, 36], [3, 2, 1]),
    ]
}

/// Average poolings.
pub fn average_pools() -> Vec<PoolCase> {
    vec![
        PoolCase::of([16, 64, 64, 64], [2, 2, 0]),
        PoolCase::of([16, 56, 56, 36], [3, 2, 1]),
    ]
}

/// A map `[n, h, w, c]` brought to another size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeCase {
    /// Images.
    pub n: usize,
    /// Rows before.
    pub h: usize,
    /// Columns before.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Rows after.
    pub oh: usize,
    /// Columns after.
    pub ow: usize,
    /// Whether bilinear resizing aligns the corners, rather than the pixels' halves.
    #[serde(default)]
    pub corners: bool,
}

impl ResizeCase {
    fn of([n, h, w, c]: [usize; 4], [oh, ow]: [usize; 2], corners: bool) -> Self {
        Self {
            n,
            h,
            w,
            c,
            oh,
            ow,
            corners,
        }
    }

    fn input(&self) -> [usize; 4] {
        [self.n, self.h, self.w, self.c]
    }

    /// The means of adaptive bins.
    ///
    /// # Errors
    /// Those of the problem.
    pub fn adaptive_average(&self) -> Result<AdaptiveAverageProblem, KernelError> {
        AdaptiveAverageProblem::new(self.input(), DType::F32, [self.oh, self.ow])
    }

    /// Bilinear interpolation.
    ///
    /// # Errors
    /// Those of the problem.
    pub fn bilinear(&self) -> Result<BilinearProblem, KernelError> {
        let alignment = match self.corners {
            true => Alignment::Corners,
            false => Alignment::HalfPixel,
        };
        BilinearProblem::new(self.input(), DType::F32, [self.oh, self.ow], alignment)
    }
}

impl Case for ResizeCase {
    fn name(&self) -> String {
        let map = MapCase::of(self.input()).name();
        let corners = if self.corners { " corners" } else { "" };
        format!("{map} to {}x{}{corners}", self.oh, self.ow)
    }
}

/// Adaptive average poolings: a CIFAR student's head, VGG's at 256 px, a feature map made to fit a teacher's.
pub fn adaptive_averages() -> Vec<ResizeCase> {
    vec![
        ResizeCase::of([64, 16, 16, 64], [3, 3], false),
        ResizeCase::of([16, 8, 8, 512], [7, 7], false),
        ResizeCase::of([32, 28, 28, 128], [14, 14], false),
    ]
}

/// Bilinear resizings: feature maps made to fit a teacher's, and the odd map of a MobileViTv2.
pub fn bilinears() -> Vec<ResizeCase> {
    vec![
        ResizeCase::of([16, 14, 14, 256], [28, 28], false),
        ResizeCase::of([32, 8, 8, 64], [56, 56], false),
        ResizeCase::of([32, 7, 7, 512], [8, 8], true),
    ]
}
