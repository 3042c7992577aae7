use crate::matmul::gemm::GemmProblem;
use crate::matmul::implicit::Gathered;
use crate::{Cost, DType, KernelError, Tensor};

/// The largest kernel side: far past any published model, small enough that index arithmetic cannot overflow.
const LARGEST_KERNEL: usize = 1024;

/// Stride and zero padding of a convolution, each as `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvOptions {
    /// Pixels between neighbouring windows; at least 1.
    pub stride: [usize; 2],
    /// Rows and columns of zeros on each side; smaller than the kernel.
    pub padding: [usize; 2],
}

impl ConvOptions {
    /// The same stride and padding along both axes.
    pub fn square(stride: usize, padding: usize) -> Self {
        Self {
            stride: [stride; 2],
            padding: [padding; 2],
        }
    }

    /// Checks kernel, stride, padding and input of each axis, which then fit together; for every kind of convolution.
    ///
    /// # Errors
    /// [`KernelError::Range`], first of the vertical axis: kernel side (1..=1024), stride (1..=1024), padding (smaller than the
    /// kernel), a padded input smaller than the kernel.
    pub(in crate::conv) fn check(
        &self,
        op: &'static str,
        input: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<(), KernelError> {
        for axis in 0..2 {
            let (kernel, size) = (kernel[axis], input[axis]);
            let (stride, padding) = (self.stride[axis], self.padding[axis]);
            if kernel == 0 || kernel > LARGEST_KERNEL {
                return Err(KernelError::range(op, "kernel", kernel, "1 to 1024"));
            }
            if stride == 0 || stride > LARGEST_KERNEL {
                return Err(KernelError::range(op, "stride", stride, "1 to 1024"));
            }
            if padding >= kernel {
                return Err(KernelError::range(
                    op,
                    "padding",
                    padding,
                    "less than the kernel",
                ));
            }
            if size + 2 * padding < kernel {
                return Err(KernelError::range(
                    op,
                    "input",
                    size,
                    "at least the kernel less its padding",
                ));
            }
        }
        Ok(())
    }

    /// Output `[height, width]` of `input` under `kernel`, which [`Self::check`] has passed.
    pub(in crate::conv) fn output(&self, input: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| {
            (input[axis] + 2 * self.padding[axis] - kernel[axis]) / self.stride[axis] + 1
        })
    }

    /// How a GPU gathers images: those of the input, or, transposed, those of the output's gradient. `sides` and `channels`, those of
    /// all groups, are the input's and the output's.
    pub(in crate::conv) fn gathered(
        &self,
        batch: usize,
        sides: [[usize; 2]; 2],
        channels: [usize; 2],
        kernel: [usize; 2],
        groups: usize,
        transposed: bool,
    ) -> Gathered {
        let (from, to) = if transposed { (1, 0) } else { (0, 1) };
        Gathered {
            batch,
            source: sides[from],
            target: sides[to],
            kernel,
            stride: self.stride,
            padding: self.padding,
            groups,
            channels: channels[from] / groups,
            columns: channels[to] / groups,
        }
    }
}

/// Validated shapes and options of one dense convolution; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvProblem {
    /// Images.
    pub batch: usize,
    /// Input `[height, width]`.
    pub input: [usize; 2],
    /// Kernel `[height, width]`.
    pub kernel: [usize; 2],
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Stride and padding.
    pub options: ConvOptions,
    /// Element type of every tensor.
    pub dtype: DType,
}

impl ConvProblem {
    /// The problem of convolving `input` `[n, h, w, ci]` with `weight` `[kh, kw, ci, co]`.
    ///
    /// # Errors
    /// In this order: ranks, channel counts, element types, kernel side (1..=1024), stride (at least 1), padding (smaller than
    /// the kernel), a padded input smaller than the kernel, an input that is a window unless the convolution is pointwise.
    pub fn new(input: &Tensor, weight: &Tensor, options: ConvOptions) -> Result<Self, KernelError> {
        const OP: &str = "conv";
        let [batch, h, w, ci] = input.dims_view(OP, "input", "[n, h, w, c]")?;
        let [kh, kw, wi, co] = weight.dims(OP, "weight", "[kh, kw, ci, co]")?;
        if wi != ci || ci == 0 || co == 0 {
            let (got, wanted) = (
                weight.shape().to_vec(),
                format!("[kh, kw, {ci}, co], no zero"),
            );
            return Err(KernelError::Shape {
                op: OP,
                tensor: "weight",
                got,
                wanted,
            });
        }
        weight.check(OP, "weight", weight.shape(), input.dtype())?;
        options.check(OP, [h, w], [kh, kw])?;
        let problem = Self {
            batch,
            input: [h, w],
            kernel: [kh, kw],
            in_channels: ci,
            out_channels: co,
            options,
            dtype: input.dtype(),
        };
        if !problem.is_pointwise() {
            input.check_whole(OP, "input")?;
        }
        Ok(problem)
    }

    /// Output `[height, width]`.
    pub fn output(&self) -> [usize; 2] {
        self.options.output(self.input, self.kernel)
    }

    /// `[n, h, w, ci]`.
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.input[0], self.input[1], self.in_channels]
    }

    /// `[kh, kw, ci, co]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [
            self.kernel[0],
            self.kernel[1],
            self.in_channels,
            self.out_channels,
        ]
    }

    /// `[n, oh, ow, co]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [oh, ow] = self.output();
        [self.batch, oh, ow, self.out_channels]
    }

    /// Whether every output pixel reads exactly the input pixel under it, so that the convolution is a matrix product.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.options == ConvOptions::square(1, 0)
    }

    /// The matrix product that a pointwise convolution is.
    pub(super) fn as_product(&self) -> Option<GemmProblem> {
        self.is_pointwise().then(|| GemmProblem {
            m: self.batch * self.input[0] * self.input[1],
            k: self.in_channels,
            n: self.out_channels,
            bias: false,
            dtype: self.dtype,
        })
    }

    /// How a GPU gathers the images: those of the input, or, transposed, those of the output's gradient.
    pub(super) fn gathered(&self, transposed: bool) -> Gathered {
        let sides = [self.input, self.output()];
        let channels = [self.in_channels, self.out_channels];
        let options = &self.options;
        options.gathered(self.batch, sides, channels, self.kernel, 1, transposed)
    }

    /// Checks the output's gradient, which may be a window where the input may.
    pub(super) fn check_grad(&self, op: &'static str, grad: &Tensor) -> Result<(), KernelError> {
        grad.check_view(op, "grad", &self.output_shape(), self.dtype)?;
        if self.is_pointwise() {
            Ok(())
        } else {
            grad.check_whole(op, "grad")
        }
    }

    /// The cost of each phase; see [`super::cost`].
    pub fn cost(&self) -> Cost {
        super::cost::forward(self)
    }
}
