use super::OP;
use crate::pool::windows::{Sliding, check_images};
use crate::{DType, KernelError, Tensor};

/// The windows of a max pooling, each number as `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaxPoolOptions {
    /// Taps of a window; 1 to 1024.
    pub kernel: [usize; 2],
    /// Pixels between neighbouring windows; 1 to 1024.
    pub stride: [usize; 2],
    /// Rows and columns on each side that no maximum comes from; at most half of the kernel.
    pub padding: [usize; 2],
    /// Pixels between neighbouring taps; 1 to 1024.
    pub dilation: [usize; 2],
    /// Whether pixels that are left over at the end get a window of their own, which reaches past the padding.
    pub ceil_mode: bool,
}

impl MaxPoolOptions {
    /// The same kernel, stride and padding along both axes, without dilation and leftover windows.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            ceil_mode: false,
        }
    }

    pub(super) fn axis(&self, axis: usize) -> Sliding {
        Sliding {
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            padding: self.padding[axis],
            dilation: self.dilation[axis],
            ceil_mode: self.ceil_mode,
        }
    }
}

/// Validated shapes and options of one max pooling; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaxPoolProblem {
    input: [usize; 4],
    output: [usize; 2],
    options: MaxPoolOptions,
    dtype: DType,
}

impl MaxPoolProblem {
    /// The problem of pooling `input` `[n, h, w, c]`.
    ///
    /// # Errors
    /// In this order: a side of `input` that is not in 1 to 32,767, no channel or more elements than can be counted; then, for the
    /// vertical and after it for the horizontal axis, kernel (1 to 1024), stride (1 to 1024), padding (at most half of the
    /// kernel), dilation (1 to 1024, the dilated kernel at most 4096), and an input that no window fits on.
    pub fn new(
        input: [usize; 4],
        dtype: DType,
        options: MaxPoolOptions,
    ) -> Result<Self, KernelError> {
        check_images(OP, "x", input)?;
        let output = [
            options.axis(0).count(OP, input[1])?,
            options.axis(1).count(OP, input[2])?,
        ];
        Ok(Self {
            input,
            output,
            options,
            dtype,
        })
    }

    pub(super) fn of(x: &Tensor, options: MaxPoolOptions) -> Result<Self, KernelError> {
        let input = x.dims_view(OP, "x", "[n, h, w, c]")?;
        Self::new(input, x.dtype(), options)
    }

    /// The windows.
    pub fn options(&self) -> MaxPoolOptions {
        self.options
    }

    /// The element type of every tensor.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// `[n, h, w, c]`.
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// `[n, oh, ow, c]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [n, _, _, c] = self.input;
        [n, self.output[0], self.output[1], c]
    }
}
