use crate::results::Sweep;
use crate::suite::Case;
use ghostlight_autodiff::DType;
use ghostlight_kernels::conv::dense::{ConvOptions, ConvProblem};
use serde::{Deserialize, Serialize};

/// A dense convolution with a square kernel, padded as much as keeps the image's size at a stride of 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseCase {
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
    /// Rows and columns of the kernel.
    pub k: usize,
    /// Pixels from one output to the next.
    #[serde(default = "super::one")]
    pub stride: usize,
    /// The sweep that it is a point of.
    #[serde(skip)]
    pub sweep: Option<Sweep>,
}

impl DenseCase {
    /// A case of a catalogue: images, the side of a square image, channels in and out, kernel, stride.
    pub(super) fn of([n, side, ci, co, k, stride]: [usize; 6]) -> Self {
        Self {
            n,
            h: side,
            w: side,
            ci,
            co,
            k,
            stride,
            sweep: None,
        }
    }

    /// The problem.
    pub fn problem(&self) -> ConvProblem {
        ConvProblem {
            batch: self.n,
            input: [self.h, self.w],
            kernel: [self.k; 2],
            in_channels: self.ci,
            out_channels: self.co,
            options: ConvOptions::square(self.stride, self.k / 2),
            dtype: DType::F32,
        }
    }
}

impl Case for DenseCase {
    fn name(&self) -> String {
        let Self {
            n,
            h,
            w,
            ci,
            co,
            k,
            stride,
            ..
        } = self;
        format!("n{n} {h}x{w} {ci}->{co} k{k} s{stride}")
    }
}

/// Dense convolutions: layers of networks, and a sweep over the channels.
pub fn dense() -> Vec<DenseCase> {
    let mut cases = super::networks::dense();
    let others = [
        // VGG, ResNet-18, bottlenecks.
        [8, 32, 128, 128, 3, 1],
        [4, 56, 64, 64, 3, 1],
        [8, 56, 64, 128, 1, 1],
        [8, 28, 512, 512, 1, 1],
        // Ghost modules: narrow, and no multiples of a register.
        [8, 56, 24, 36, 1, 1],
        [8, 28, 40, 60, 1, 1],
        [8, 14, 112, 336, 1, 1],
    ]
    .map(DenseCase::of);
    cases.extend(others);
    let points = [8, 16, 32, 48, 64, 96, 128].map(|c| DenseCase {
        sweep: Some(super::point("channels", c)),
        ..DenseCase::of([4, 28, c, c, 3, 1])
    });
    super::add_points(&mut cases, points, |case| &mut case.sweep);
    cases
}
