use super::OP;
use crate::pool::bins::Bins;
use crate::pool::windows::{Sliding, check_images};
use crate::{DType, KernelError, planted};

/// The windows of an average pooling, each number as `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AveragePoolOptions {
    /// Pixels of a window; 1 to 1024.
    pub kernel: [usize; 2],
    /// Pixels between neighbouring windows; 1 to 1024.
    pub stride: [usize; 2],
    /// Rows and columns of zeros on each side; at most half of the kernel.
    pub padding: [usize; 2],
    /// Whether pixels that are left over at the end get a window of their own, which reaches past the padding.
    pub ceil_mode: bool,
    /// Whether the mean counts the padding's zeros.
    pub count_include_pad: bool,
}

impl AveragePoolOptions {
    /// The same kernel, stride and padding along both axes, without leftover windows; zeros of the padding count.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    fn axis(&self, axis: usize) -> Sliding {
        Sliding {
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            padding: self.padding[axis],
            dilation: 1,
            ceil_mode: self.ceil_mode,
        }
    }
}

/// Validated shapes and options of one average pooling; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AveragePoolProblem {
    input: [usize; 4],
    output: [usize; 2],
    options: AveragePoolOptions,
    dtype: DType,
}

impl AveragePoolProblem {
    /// The problem of pooling `input` `[n, h, w, c]`.
    ///
    /// # Errors
    /// In this order: a side of `input` that is not in 1 to 32,767, no channel or more elements than can be counted; then, for the
    /// vertical and after it for the horizontal axis, kernel (1 to 1024), stride (1 to 1024), padding (at most half of the
    /// kernel), and an input that no window fits on.
    pub fn new(
        input: [usize; 4],
        dtype: DType,
        options: AveragePoolOptions,
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

    pub(super) fn bins(&self) -> [Bins; 2] {
        [0, 1].map(|axis| Bins {
            input: self.input[1 + axis],
            output: self.output[axis],
            padding: self.options.padding[axis],
            num: self.options.stride[axis],
            den: 1,
            tail: self.options.kernel[axis],
            count_padding: planted::or(
                "average_pool_padding_never_counts",
                self.options.count_include_pad,
                false,
            ),
        })
    }

    /// The windows.
    pub fn options(&self) -> AveragePoolOptions {
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
