use super::OP;
use super::axis::AxisLaunch;
use crate::{DType, KernelError, planted};

/// The largest side of an image: twice the product of two sides then fits 31 bits, within which devices of 32-bit indices divide
/// fast.
const LARGEST_SIDE: usize = 32_767;

/// Which places of input and output coincide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// The outer edges of the corner pixels: `align_corners=False` in PyTorch.
    HalfPixel,
    /// The centres of the corner pixels: `align_corners=True`.
    Corners,
}

/// Validated shapes and options of one resizing; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BilinearProblem {
    input: [usize; 4],
    output: [usize; 2],
    alignment: Alignment,
    dtype: DType,
}

impl BilinearProblem {
    /// The problem of resizing `input` `[n, h, w, c]` to `output` `[oh, ow]`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] for `x`, then for `output` `[n, oh, ow, c]`: a side that is not in 1 to 32,767, no channel or more
    /// elements than can be counted.
    pub fn new(
        input: [usize; 4],
        dtype: DType,
        output: [usize; 2],
        alignment: Alignment,
    ) -> Result<Self, KernelError> {
        let problem = Self {
            input,
            output,
            alignment,
            dtype,
        };
        for (tensor, shape) in [("x", input), ("output", problem.output_shape())] {
            let sides = 1..=LARGEST_SIDE;
            let countable = shape
                .iter()
                .try_fold(8usize, |bytes, &extent| bytes.checked_mul(extent))
                .is_some_and(|bytes| isize::try_from(bytes).is_ok());
            let good = sides.contains(&shape[1]) && sides.contains(&shape[2]);
            if !good || shape[3] == 0 || !countable {
                return Err(KernelError::Shape {
                    op: OP,
                    tensor,
                    got: shape.to_vec(),
                    wanted: "[n, h, w, c] with sides from 1 to 32,767 and c > 0".to_string(),
                });
            }
        }
        Ok(problem)
    }

    pub(super) fn axis(&self, axis: usize) -> AxisLaunch {
        let (input, output) = (self.input[1 + axis], self.output[axis]);
        let alignment = planted::or(
            "bilinear_corners_always",
            self.alignment,
            Alignment::Corners,
        );
        let (num, lead, back, den) = match alignment {
            // ((2 o + 1) h - oh) / (2 oh)
            Alignment::HalfPixel => {
                let back = planted::or("bilinear_half_a_pixel_late", output, 0);
                (2 * input, input, back, 2 * output)
            }
            // One input pixel is read by all outputs, whatever they are divided by, and one output lies on the first.
            Alignment::Corners if input == 1 => (0, 0, 0, output),
            Alignment::Corners => (input - 1, 0, 0, output.max(2) - 1),
        };
        let step = num.max(1);
        AxisLaunch::new(input, output, num, lead, back, den, step, step, den)
    }

    /// Which places coincide.
    pub fn alignment(&self) -> Alignment {
        self.alignment
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
