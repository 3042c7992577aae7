use crate::conv::dense::ConvOptions;
use crate::matmul::implicit::Gathered;
use crate::{Cost, DType, KernelError, Tensor};

/// Validated shapes and options of one grouped convolution; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupedProblem {
    /// Images.
    pub batch: usize,
    /// Input `[height, width]`.
    pub input: [usize; 2],
    /// Kernel `[height, width]`.
    pub kernel: [usize; 2],
    /// Input channels of all groups.
    pub in_channels: usize,
    /// Output channels of all groups.
    pub out_channels: usize,
    /// Groups: each reads its own share of the input channels and writes its own share of the output channels.
    pub groups: usize,
    /// Stride and padding.
    pub options: ConvOptions,
    /// Element type of every tensor.
    pub dtype: DType,
}

impl GroupedProblem {
    /// The problem of convolving `input` `[n, h, w, ci]` with `weight` `[kh, kw, ci / groups, co]` in `groups` groups.
    ///
    /// # Errors
    /// In this order: ranks, a window for a weight, groups (at least 1, dividing `ci`, then `co`), channel counts, element types,
    /// then, first of the vertical axis, kernel side (1..=1024), stride (1..=1024), padding (smaller than the kernel), a padded
    /// input smaller than the kernel.
    pub fn new(
        input: &Tensor,
        weight: &Tensor,
        groups: usize,
        options: ConvOptions,
    ) -> Result<Self, KernelError> {
        const OP: &str = "grouped_conv";
        let [batch, h, w, ci] = input.dims_view(OP, "input", "[n, h, w, c]")?;
        let [kh, kw, share, co] = weight.dims(OP, "weight", "[kh, kw, ci / groups, co]")?;
        if groups == 0 || !ci.is_multiple_of(groups) || !co.is_multiple_of(groups) {
            let wanted = "at least 1 and a divisor of the channels in and out";
            return Err(KernelError::range(OP, "groups", groups, wanted));
        }
        if share != ci / groups || share == 0 || co == 0 {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "weight",
                got: weight.shape().to_vec(),
                wanted: format!("[kh, kw, {}, co], no zero", ci / groups),
            });
        }
        weight.check(OP, "weight", weight.shape(), input.dtype())?;
        options.check(OP, [h, w], [kh, kw])?;
        Ok(Self {
            batch,
            input: [h, w],
            kernel: [kh, kw],
            in_channels: ci,
            out_channels: co,
            groups,
            options,
            dtype: input.dtype(),
        })
    }

    /// Output `[height, width]`.
    pub fn output(&self) -> [usize; 2] {
        self.options.output(self.input, self.kernel)
    }

    /// `[n, h, w, ci]`.
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.input[0], self.input[1], self.in_channels]
    }

    /// `[kh, kw, ci / groups, co]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        let [kh, kw] = self.kernel;
        [kh, kw, self.in_channels / self.groups, self.out_channels]
    }

    /// `[n, oh, ow, co]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [oh, ow] = self.output();
        [self.batch, oh, ow, self.out_channels]
    }

    /// Channels of one group, `[in, out]`.
    pub fn group(&self) -> [usize; 2] {
        [self.in_channels, self.out_channels].map(|channels| channels / self.groups)
    }

    /// How a GPU gathers the images: those of the input, or, transposed, those of the output's gradient.
    pub(super) fn gathered(&self, transposed: bool) -> Gathered {
        let sides = [self.input, self.output()];
        let channels = [self.in_channels, self.out_channels];
        let (options, groups) = (&self.options, self.groups);
        options.gathered(self.batch, sides, channels, self.kernel, groups, transposed)
    }

    /// The cost of the forward pass; see [`super::cost`].
    pub fn cost(&self) -> Cost {
        super::cost::forward(self)
    }
}
