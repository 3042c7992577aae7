use super::MaxPoolProblem;
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

/// The windows along one axis, as a kernel argument. Positions count from the first padded pixel.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub stride: usize,
    pub by_stride: FastDivmod<usize>,
    pub padding: usize,
    pub dilation: usize,
    /// From a window's first position to the one behind its last.
    pub reach: usize,
}

impl AxisLaunch {
    pub(super) fn of(problem: &MaxPoolProblem, axis: usize) -> Self {
        let windows = problem.options().axis(axis);
        Self::new(
            problem.input_shape()[1 + axis],
            problem.output_shape()[1 + axis],
            windows.stride,
            windows.stride,
            windows.padding,
            windows.dilation,
            windows.reach(),
        )
    }
}

#[cube]
impl Axis {
    /// The position of the first tap of window `o` that lies within the image or behind it.
    pub fn from(&self, o: usize) -> usize {
        let start = o * self.stride;
        let mut from = start;
        if start < self.padding {
            let skipped = (self.padding - start + self.dilation - 1) / self.dilation;
            from = start + skipped * self.dilation;
        }
        from
    }

    /// The position behind the last one of window `o` that lies within the image.
    pub fn to(&self, o: usize) -> usize {
        min(o * self.stride + self.reach, self.input + self.padding)
    }

    /// The first window over `position`.
    pub fn first_over(&self, position: usize) -> usize {
        let mut first = 0usize.runtime();
        if position >= self.reach {
            first = self.by_stride.div(position - self.reach) + 1;
        }
        first
    }

    /// The window behind the last one over `position`.
    pub fn end_over(&self, position: usize) -> usize {
        min(self.by_stride.div(position) + 1, self.output)
    }
}
