use super::OP;
use crate::pool::bins::Bins;
use crate::pool::windows::check_images;
use crate::{DType, KernelError, planted};

/// Validated shapes of one adaptive average pooling; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdaptiveAverageProblem {
    input: [usize; 4],
    output: [usize; 2],
    dtype: DType,
}

impl AdaptiveAverageProblem {
    /// The problem of pooling `input` `[n, h, w, c]` to `output` `[oh, ow]`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] for `x`, then for `output` `[n, oh, ow, c]`: a side that is not in 1 to 32,767, no channel or more
    /// elements than can be counted.
    pub fn new(input: [usize; 4], dtype: DType, output: [usize; 2]) -> Result<Self, KernelError> {
        check_images(OP, "x", input)?;
        let problem = Self {
            input,
            output,
            dtype,
        };
        check_images(OP, "output", problem.output_shape())?;
        Ok(problem)
    }

    pub(super) fn bins(&self) -> [Bins; 2] {
        [0, 1].map(|axis| {
            let (input, output) = (self.input[1 + axis], self.output[axis]);
            let tail = input + output - 1;
            Bins {
                input,
                output,
                padding: 0,
                num: input,
                den: output,
                // Rounded down a bin may be empty, but for one pixel that it always holds.
                tail: planted::or("adaptive_average_bins_end_early", tail, input.max(output)),
                count_padding: false,
            }
        })
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
