//! Where the taps of a convolution fall along one axis, forward and transposed: what every convolution but the depthwise reads.

use cubecl::prelude::*;

/// Where the taps of one axis fall, for the outputs `first`, `first + out_step`, `first + 2 out_step`, ...
///
/// The `t`-th of them reads the inputs `t in_step + j + up - lead` for the taps `j` in `0..taps`, whose weights start at
/// `start`. A forward pass has one phase; a gradient with respect to the input has one per residue of the stride.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Taps {
    pub in_step: usize,
    pub out_step: usize,
    pub taps: usize,
    pub start: usize,
    pub up: usize,
    pub lead: usize,
}

/// One axis of a convolution, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Axis {
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
    /// The taps of the outputs from `first` on; `transposed` for the gradient with respect to the input.
    pub fn taps(&self, first: usize, #[comptime] transposed: bool) -> Taps {
        if transposed {
            let residue = (first + self.padding) % self.stride;
            let mut start = 0usize;
            for r in 0..residue {
                start += residue_taps(self.kernel, self.stride, r);
            }
            let taps = residue_taps(self.kernel, self.stride, residue);
            let up = (first + self.padding - residue) / self.stride;
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
pub(crate) fn residue_taps(kernel: usize, stride: usize, residue: usize) -> usize {
    (max(kernel, residue) - residue + stride - 1) / stride
}

/// Where tap `tap` goes in the order in which the residues of a stride read a kernel: those of one residue side by side, the last first.
#[cube]
pub(crate) fn flipped_tap(tap: usize, kernel: usize, stride: usize) -> usize {
    let residue = tap % stride;
    let mut start = 0usize;
    for r in 0..residue {
        start += residue_taps(kernel, stride, r);
    }
    start + residue_taps(kernel, stride, residue) - 1 - tap / stride
}
