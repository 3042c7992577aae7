use crate::{Cost, DType, KernelError, Tensor};

/// The largest kernel side: large-kernel networks use 31.
const LARGEST_KERNEL: usize = 31;
/// The largest stride and dilation, and the largest image side: far past any published model, small enough that index arithmetic
/// cannot overflow.
const LARGEST_STEP: usize = 1024;
const LARGEST_SIDE: usize = 1 << 24;

/// Stride, dilation and zero padding of a depthwise convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DepthwiseOptions {
    /// Pixels between neighbouring windows, `[vertical, horizontal]`; 1 to 1024.
    pub stride: [usize; 2],
    /// Pixels between neighbouring taps of a window, `[vertical, horizontal]`; 1 to 1024.
    pub dilation: [usize; 2],
    /// Rows and columns of zeros, `[top, bottom, left, right]`; at most `dilation (kernel - 1)`, so that no window lies outside.
    pub padding: [usize; 4],
}

impl DepthwiseOptions {
    /// The same stride along both axes and the same padding on all sides, undilated.
    pub fn square(stride: usize, padding: usize) -> Self {
        Self {
            stride: [stride; 2],
            dilation: [1; 2],
            padding: [padding; 4],
        }
    }
}

/// Validated shapes and options of one depthwise convolution; knows its output and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DepthwiseProblem {
    /// Images.
    pub batch: usize,
    /// Input `[height, width]`.
    pub input: [usize; 2],
    /// Kernel `[height, width]`.
    pub kernel: [usize; 2],
    /// Input channels.
    pub channels: usize,
    /// Output channels for each input channel.
    pub multiplier: usize,
    /// Stride, dilation and padding.
    pub options: DepthwiseOptions,
    /// Element type of every tensor.
    pub dtype: DType,
}

impl DepthwiseProblem {
    /// The problem of convolving `x` `[n, h, w, c]`, which may be a window, with `weight` `[kh, kw, c m]`.
    ///
    /// # Errors
    /// In this order: ranks, a weight that is a window, channel counts (at least 1, the weight's a multiple of the input's),
    /// element types; then for each axis, the vertical one first: the side of the input (at most 2^24), of the kernel (1 to 31),
    /// stride and dilation (1 to 1024), padding before and behind (at most `dilation (kernel - 1)`), a padded input smaller than
    /// the dilated kernel; then an output that cannot be addressed.
    pub fn new(
        x: &Tensor,
        weight: &Tensor,
        options: DepthwiseOptions,
    ) -> Result<Self, KernelError> {
        const OP: &str = "depthwise";
        let [batch, h, w, channels] = x.dims_view(OP, "x", "[n, h, w, c]")?;
        let [kh, kw, outputs] = weight.dims(OP, "weight", "[kh, kw, c m]")?;
        if channels == 0 || outputs == 0 || !outputs.is_multiple_of(channels) {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "weight",
                got: weight.shape().to_vec(),
                wanted: format!("[kh, kw, a multiple of {channels}], no zero"),
            });
        }
        weight.check(OP, "weight", weight.shape(), x.dtype())?;
        let problem = Self {
            batch,
            input: [h, w],
            kernel: [kh, kw],
            channels,
            multiplier: outputs / channels,
            options,
            dtype: x.dtype(),
        };
        for axis in 0..2 {
            problem.check_axis(OP, axis)?;
        }
        let [oh, ow] = problem.output();
        let elements = [oh, ow, outputs, problem.dtype.size()]
            .iter()
            .try_fold(batch, |product, &extent| product.checked_mul(extent));
        if elements.is_none_or(|bytes| bytes > isize::MAX as usize) {
            let got = format!("[{batch}, {oh}, {ow}, {outputs}]");
            return Err(KernelError::range(OP, "output", got, "addressable"));
        }
        Ok(problem)
    }

    fn check_axis(&self, op: &'static str, axis: usize) -> Result<(), KernelError> {
        let (side, kernel) = (self.input[axis], self.kernel[axis]);
        let (stride, dilation) = (self.options.stride[axis], self.options.dilation[axis]);
        let range = |parameter, got: usize, wanted, allowed| {
            if allowed {
                Ok(())
            } else {
                Err(KernelError::range(op, parameter, got, wanted))
            }
        };
        range("input", side, "at most 2^24", side <= LARGEST_SIDE)?;
        let fits = (1..=LARGEST_KERNEL).contains(&kernel);
        range("kernel", kernel, "1 to 31", fits)?;
        let steps = 1..=LARGEST_STEP;
        range("stride", stride, "1 to 1024", steps.contains(&stride))?;
        range("dilation", dilation, "1 to 1024", steps.contains(&dilation))?;
        let span = dilation * (kernel - 1);
        let sides = [
            self.options.padding[2 * axis],
            self.options.padding[2 * axis + 1],
        ];
        for padding in sides {
            let wanted = "at most dilation (kernel - 1)";
            range("padding", padding, wanted, padding <= span)?;
        }
        let padded = side + sides[0] + sides[1];
        let wanted = "at least the dilated kernel less its padding";
        range("input", side, wanted, padded > span)
    }

    /// Output `[height, width]`.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let [before, behind] = [0, 1].map(|side| self.options.padding[2 * axis + side]);
            let span = self.options.dilation[axis] * (self.kernel[axis] - 1);
            (self.input[axis] + before + behind - span - 1) / self.options.stride[axis] + 1
        })
    }

    /// `c m`, the channels of weight and output.
    pub fn out_channels(&self) -> usize {
        self.channels * self.multiplier
    }

    /// `[n, h, w, c]`.
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.input[0], self.input[1], self.channels]
    }

    /// `[kh, kw, c m]`.
    pub fn weight_shape(&self) -> [usize; 3] {
        [self.kernel[0], self.kernel[1], self.out_channels()]
    }

    /// `[n, oh, ow, c m]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [oh, ow] = self.output();
        [self.batch, oh, ow, self.out_channels()]
    }

    /// The cost of the forward pass; the gradients' are in [`super::cost`].
    pub fn cost(&self) -> Cost {
        super::cost::forward(self)
    }
}
