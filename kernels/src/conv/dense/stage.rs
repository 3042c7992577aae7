//! The padded patch that the tiled kernels read: a unit copies the input rows of its next few output rows once into a scratch
//! of its own, with the padding written out as zeros, so that the inner loops know no borders.

use crate::lanes::copy;
use cubecl::prelude::*;

/// Where the taps of one axis fall, for the outputs `phase`, `phase + out_step`, `phase + 2 out_step`, ...
///
/// The `t`-th of them reads the inputs `t in_step + j + up - lead` for the taps `j` in `0..taps`, whose weights start at
/// `start`. A forward pass has one phase; a gradient with respect to the input has one per residue of the stride.
#[derive(CubeType, Clone, Copy)]
pub(in crate::conv) struct Taps {
    pub in_step: usize,
    pub out_step: usize,
    pub taps: usize,
    pub start: usize,
    pub up: usize,
    pub lead: usize,
}

/// One axis of a convolution, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(in crate::conv) struct Axis {
    /// Extent of the tensor that is read.
    pub source: usize,
    /// Extent of the tensor that is written.
    pub target: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

#[cube]
impl Axis {
    /// The taps of `phase`; `transposed` for the gradient with respect to the input.
    pub fn taps(&self, phase: usize, #[comptime] transposed: bool) -> Taps {
        if transposed {
            let residue = (phase + self.padding) % self.stride;
            let mut start = 0usize;
            for r in 0..residue {
                start += residue_taps(self.kernel, self.stride, r);
            }
            let taps = residue_taps(self.kernel, self.stride, residue);
            let up = (phase + self.padding - residue) / self.stride;
            let lead = max(taps, 1) - 1;
            Taps {
                in_step: 1usize.runtime(),
                out_step: self.stride,
                taps,
                start,
                up,
                lead,
            }
        } else {
            Taps {
                in_step: self.stride,
                out_step: 1usize.runtime(),
                taps: self.kernel,
                start: 0usize.runtime(),
                up: 0usize.runtime(),
                lead: self.padding,
            }
        }
    }
}

/// How many taps of a kernel have `residue` modulo `stride`.
#[cube]
pub(in crate::conv) fn residue_taps(kernel: usize, stride: usize, residue: usize) -> usize {
    (max(kernel, residue) - residue + stride - 1) / stride
}

/// Copies `rows` input rows of image `n`, from row `first + up - lead` on, into `patch`: `rows` rows of `width` pixels of
/// `channels`, shifted by the columns' own `up - lead`. What lies outside of the image becomes zero.
#[cube]
pub(super) fn stage<S: Float, F: Float, B: Size, N: Size>(
    x: &[S],
    patch: &mut [F],
    patch_start: usize,
    n: usize,
    first: usize,
    rows: usize,
    width: usize,
    channels: usize,
    vertical: &Axis,
    horizontal: &Axis,
    v: &Taps,
    h: &Taps,
) {
    let zero = F::new(0.0f32);
    let left = min(max(h.lead, h.up) - h.up, width);
    let skip = max(h.lead, h.up) - h.lead;
    let copied = min(max(horizontal.source, skip) - skip, width - left);
    let line = width * channels;
    for row in 0..rows {
        let out = patch_start + row * line;
        let shifted = first + row + v.up;
        let valid = shifted >= v.lead && shifted < v.lead + vertical.source;
        if valid {
            let from =
                ((n * vertical.source + shifted - v.lead) * horizontal.source + skip) * channels;
            let begin = left * channels;
            let end = begin + copied * channels;
            for q in 0..begin {
                patch[out + q] = zero;
            }
            copy::<S, F, B, N>(x, from, patch, out + begin, copied * channels);
            for q in end..line {
                patch[out + q] = zero;
            }
        } else {
            for q in 0..line {
                patch[out + q] = zero;
            }
        }
    }
}
