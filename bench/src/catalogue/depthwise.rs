use crate::results::Sweep;
use crate::suite::Case;
use ghostlight_autodiff::DType;
use ghostlight_kernels::conv::depthwise::{DepthwiseOptions, DepthwiseProblem};
use serde::{Deserialize, Serialize};

/// A depthwise convolution with a square kernel, padded as much as keeps the image's size at a stride of 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseCase {
    /// Images.
    pub n: usize,
    /// Rows of an image.
    pub h: usize,
    /// Columns of an image.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels of each input channel.
    #[serde(default = "super::one")]
    pub multiplier: usize,
    /// Rows and columns of the kernel.
    pub k: usize,
    /// Pixels from one output to the next.
    #[serde(default = "super::one")]
    pub stride: usize,
    /// Pixels from one tap to the next.
    #[serde(default = "super::one")]
    pub dilation: usize,
    /// The sweep that it is a point of.
    #[serde(skip)]
    pub sweep: Option<Sweep>,
}

impl DepthwiseCase {
    /// A case of a catalogue: images, rows, columns, channels, multiplier, kernel, stride, dilation.
    pub(super) fn of([n, h, w, c, multiplier, k, stride, dilation]: [usize; 8]) -> Self {
        Self {
            n,
            h,
            w,
            c,
            multiplier,
            k,
            stride,
            dilation,
            sweep: None,
        }
    }

    /// The problem.
    pub fn problem(&self) -> DepthwiseProblem {
        DepthwiseProblem {
            batch: self.n,
            input: [self.h, self.w],
            kernel: [self.k; 2],
            channels: self.c,
            multiplier: self.multiplier,
            options: DepthwiseOptions {
                dilation: [self.dilation; 2],
                ..DepthwiseOptions::square(self.stride, self.dilation * (self.k / 2))
            },
            dtype: DType::F32,
        }
    }
}

impl Case for DepthwiseCase {
    fn name(&self) -> String {
        let Self {
            n,
            h,
            w,
            c,
            multiplier,
            k,
            stride,
            dilation,
            ..
        } = self;
        format!("n{n} {h}x{w} c{c} m{multiplier} k{k} s{stride} d{dilation}")
    }
}

/// Depthwise convolutions: layers of networks, shapes that nobody tuned for, and sweeps.
pub fn depthwise() -> Vec<DepthwiseCase> {
    let mut cases = [
        // MobileNets, GhostNets, EfficientNets, and the 7x7 of ConvNeXt.
        [8, 56, 56, 128, 1, 3, 1, 1],
        [32, 32, 32, 64, 1, 3, 1, 1],
        [8, 14, 14, 512, 1, 3, 1, 1],
        [8, 28, 28, 240, 1, 5, 1, 1],
        [8, 28, 28, 240, 1, 5, 2, 1],
        [8, 28, 28, 192, 1, 7, 1, 1],
        // Nobody tuned for these: channels that are no multiple of a register, odd sides, single images.
        [8, 56, 56, 36, 1, 3, 1, 1],
        [8, 28, 28, 20, 1, 3, 1, 1],
        [4, 37, 53, 100, 1, 3, 1, 1],
        [1, 56, 56, 128, 1, 3, 1, 1],
        [1, 75, 75, 60, 1, 3, 2, 1],
        [4, 7, 7, 960, 1, 5, 1, 1],
        [2, 31, 45, 72, 1, 7, 1, 1],
        // Dilated, of a multiplier (Ghost ratios 3 and 4), and of a large kernel.
        [8, 28, 28, 128, 1, 3, 1, 2],
        [8, 56, 56, 24, 2, 3, 1, 1],
        [8, 28, 28, 20, 3, 3, 1, 1],
        [2, 28, 28, 64, 1, 13, 1, 1],
    ]
    .map(DepthwiseCase::of)
    .to_vec();
    cases.extend(super::networks::depthwise());
    let base = DepthwiseCase::of([8, 28, 28, 128, 1, 3, 1, 1]);
    let channels = [16, 32, 64, 128, 256, 512].map(|c| DepthwiseCase {
        c,
        sweep: Some(super::point("channels", c)),
        ..base.clone()
    });
    let sides = [7, 14, 56, 112].map(|side| DepthwiseCase {
        h: side,
        w: side,
        sweep: Some(super::point("side", side)),
        ..base.clone()
    });
    let kernels = [5, 7, 9, 11].map(|k| DepthwiseCase {
        k,
        sweep: Some(super::point("kernel", k)),
        ..base.clone()
    });
    let points = channels.into_iter().chain(sides).chain(kernels);
    super::add_points(&mut cases, points, |case| &mut case.sweep);
    cases
}
