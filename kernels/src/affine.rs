use crate::{DType, KernelError, Tensor};

/// What follows a convolution in inference, applied to the values in registers: `act((y - centre) scale + shift + residual)`. The
/// maps are in the accumulator of the convolution's element type, the residual in that type itself.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Subtracted, `[co]`: a batch norm's running mean.
    pub centre: &'a Tensor,
    /// Multiplied by, `[co]`: see [`crate::norm::batch_norm::running_scale`].
    pub scale: &'a Tensor,
    /// Added, `[co]`: a batch norm's beta.
    pub shift: &'a Tensor,
    /// Added, of the output's shape; may be a window. Pointwise convolutions also take `[n, co]`, one row for all pixels of an image.
    pub residual: Option<&'a Tensor>,
    /// Whether a ReLU follows; it lets a NaN through.
    pub relu: bool,
}

impl Affine<'_> {
    /// Passes when the maps have `output`'s channels and the residual its shape.
    ///
    /// # Errors
    /// Shapes and element types of `centre`, `scale`, `shift` and the residual, in this order.
    pub fn check(
        &self,
        op: &'static str,
        output: &[usize],
        dtype: DType,
    ) -> Result<(), KernelError> {
        let channels = [output.last().copied().unwrap_or(0)];
        for (name, tensor) in [
            ("centre", self.centre),
            ("scale", self.scale),
            ("shift", self.shift),
        ] {
            tensor.check(op, name, &channels, dtype.accumulator())?;
        }
        match self.residual {
            Some(residual) => residual.check_view(op, "residual", output, dtype),
            None => Ok(()),
        }
    }

    /// Passes when `out`, which is written, shares no memory with what is read.
    ///
    /// # Errors
    /// [`KernelError::Overlap`] for `centre`, `scale`, `shift` and the residual, in this order.
    pub fn check_apart(&self, op: &'static str, out: &Tensor) -> Result<(), KernelError> {
        let maps = [
            ("centre", self.centre),
            ("scale", self.scale),
            ("shift", self.shift),
        ];
        out.check_apart(op, "out", &maps)?;
        match self.residual {
            Some(residual) => out.check_apart(op, "out", &[("residual", residual)]),
            None => Ok(()),
        }
    }
}

/// Which parts of an [`Affine`] a kernel applies, a comptime choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Epilogue {
    pub affine: bool,
    pub residual: bool,
    pub relu: bool,
}

impl Epilogue {
    pub fn of(affine: Option<&Affine>) -> Self {
        Self {
            affine: affine.is_some(),
            residual: affine.is_some_and(|affine| affine.residual.is_some()),
            relu: affine.is_some_and(|affine| affine.relu),
        }
    }
}

/// What a product is followed by, in registers.
#[derive(Clone, Copy, Default)]
pub(crate) struct EpilogueArgs<'a> {
    pub bias: Option<&'a Tensor>,
    pub affine: Option<&'a Affine<'a>>,
    /// Added to each row, or to runs of neighbouring ones where it has fewer.
    pub residual: Option<&'a Tensor>,
}

impl<'a> EpilogueArgs<'a> {
    pub fn affine(affine: Option<&'a Affine<'a>>) -> Self {
        Self {
            bias: None,
            affine,
            residual: affine.and_then(|affine| affine.residual),
        }
    }
}
