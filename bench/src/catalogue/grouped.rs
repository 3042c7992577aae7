use crate::results::Sweep;
use crate::suite::Case;
use ghostlight_autodiff::DType;
use ghostlight_kernels::conv::grouped::{ConvOptions, GroupedProblem};
use serde::{Deserialize, Serialize};

/// A grouped convolution with as many input as output channels and a square kernel, padded as much as keeps the image's size at a
/// stride of 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupedCase {
    /// Images.
    pub n: usize,
    /// Rows of an image.
    pub h: usize,
    /// Columns of an image.
    pub w: usize,
    /// Channels, in and out.
    pub c: usize,
    /// Groups, of which there are `c` over a whole number.
    pub groups: usize,
    /// Rows and columns of the kernel.
    #[serde(default = "super::three")]
    pub k: usize,
    /// Pixels from one output to the next.
    #[serde(default = "super::one")]
    pub stride: usize,
    /// The sweep that it is a point of.
    #[serde(skip)]
    pub sweep: Option<Sweep>,
}

impl GroupedCase {
    /// A 3x3 of a catalogue: images, the side of a square image, channels, groups, stride.
    pub(super) fn of([n, side, c, groups, stride]: [usize; 5]) -> Self {
        Self {
            n,
            h: side,
            w: side,
            c,
            groups,
            k: 3,
            stride,
            sweep: None,
        }
    }

    /// The problem.
    pub fn problem(&self) -> GroupedProblem {
        GroupedProblem {
            batch: self.n,
            input: [self.h, self.w],
            kernel: [self.k; 2],
            in_channels: self.c,
            out_channels: self.c,
            groups: self.groups,
            options: ConvOptions::square(self.stride, self.k / 2),
            dtype: DType::F32,
        }
    }
}

impl Case for GroupedCase {
    fn name(&self) -> String {
        let Self {
            n,
            h,
            w,
            c,
            groups,
            k,
            stride,
            ..
        } = self;
        let each = c / groups.max(&1);
        format!("n{n} {h}x{w} {c}ch k{k} s{stride} g{groups} ({each} a group)")
    }
}

/// Grouped 3x3 convolutions: layers of networks, shapes that nobody tuned for, and a sweep over the groups.
pub fn grouped() -> Vec<GroupedCase> {
    let mut cases = super::networks::grouped();
    let others = [
        // RegNetX and G-Ghost stages: 48, 56, 24, 36 and 12 a group.
        [8, 56, 96, 2, 1],
        [8, 28, 224, 4, 1],
        [8, 28, 240, 10, 1],
        [8, 28, 216, 6, 1],
        [8, 14, 192, 16, 1],
        // Strides and odd sides; 6, 8, 40 and 120 a group.
        [8, 56, 128, 32, 2],
        [8, 56, 96, 4, 2],
        [8, 57, 36, 6, 1],
        [3, 25, 152, 19, 1],
        [8, 15, 240, 6, 2],
        [8, 13, 720, 6, 1],
    ]
    .map(GroupedCase::of);
    cases.extend(others);
    let points = [2, 4, 8, 16, 32, 64].map(|groups| GroupedCase {
        sweep: Some(super::point("groups", groups)),
        ..GroupedCase::of([4, 28, 128, groups, 1])
    });
    super::add_points(&mut cases, points, |case| &mut case.sweep);
    cases
}
