//! Averages over bins: what average pooling and adaptive average pooling share.
//!
//! Along each axis output `o` averages the positions `floor(o num / den) .. floor((o num + tail) / den)` of the padded image.
//! A sliding window of kernel k and stride s is `num = s, den = 1, tail = k`; PyTorch's adaptive bins of h inputs and oh outputs,
//! `floor(o h / oh) .. ceil((o + 1) h / oh)`, are `num = h, den = oh, tail = h + oh - 1`. Both ends grow with `o`, so the bins over
//! a position are neighbours, and solving the same two inequalities for `o` gives exactly them.

mod backward;
mod forward;
pub(super) mod reference;

pub(super) use backward::launch_spread;
pub(super) use forward::launch_mean;

use cubecl::prelude::*;
use cubecl::std::FastDivmod;

/// The bins along one axis, on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bins {
    pub input: usize,
    pub output: usize,
    pub padding: usize,
    pub num: usize,
    pub den: usize,
    pub tail: usize,
    /// Whether a mean divides by the padding's pixels as well.
    pub count_padding: bool,
}

impl Bins {
    fn axis(&self) -> AxisLaunch {
        let image = [self.padding, self.padding + self.input];
        let counted = if self.count_padding {
            [0, self.input + 2 * self.padding]
        } else {
            image
        };
        AxisLaunch::new(
            self.input,
            self.output,
            self.padding,
            self.num,
            self.den,
            self.num,
            self.den,
            self.tail,
            counted[0],
            counted[1],
        )
    }
}

/// The bins along one axis, as a kernel argument. Positions count from the first padded pixel.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub padding: usize,
    pub num: usize,
    pub den: usize,
    pub by_num: FastDivmod<usize>,
    pub by_den: FastDivmod<usize>,
    pub tail: usize,
    /// The positions that a mean divides by.
    pub counted_from: usize,
    pub counted_to: usize,
}

#[cube]
impl Axis {
    fn start(&self, o: usize) -> usize {
        self.by_den.div(o * self.num)
    }

    fn end(&self, o: usize) -> usize {
        self.by_den.div(o * self.num + self.tail)
    }

    /// The first pixel of the image in bin `o`.
    pub fn from(&self, o: usize) -> usize {
        max(self.start(o), self.padding) - self.padding
    }

    /// The pixel of the image behind the last one in bin `o`.
    pub fn to(&self, o: usize) -> usize {
        min(self.end(o), self.padding + self.input) - self.padding
    }

    /// By how many pixels the mean of bin `o` divides.
    pub fn count(&self, o: usize) -> usize {
        min(self.end(o), self.counted_to) - max(self.start(o), self.counted_from)
    }

    /// The first bin over `pixel`: the first whose end is past it.
    pub fn first_over(&self, pixel: usize) -> usize {
        let reached = (pixel + self.padding + 1) * self.den;
        self.by_num
            .div(max(reached, self.tail) - self.tail + self.num - 1)
    }

    /// The bin behind the last one over `pixel`: the first that starts past it.
    pub fn end_over(&self, pixel: usize) -> usize {
        let reached = (pixel + self.padding + 1) * self.den;
        min(self.by_num.div(reached + self.num - 1), self.output)
    }

    /// The first pixel past `pixel` over which other bins lie, where those over `pixel` are `first..end`.
    pub fn next_change(&self, pixel: usize, first: usize, end: usize) -> usize {
        let mut next = self.input;
        if end < self.output {
            next = min(next, self.start(end) - self.padding);
        }
        if first < end {
            next = min(next, self.to(first));
        }
        max(next, pixel + 1)
    }
}
