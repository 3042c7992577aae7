use crate::clamp::{Clamp, clamped};
use crate::lanes::{View, load_part};
use crate::{DType, KernelError, Tensor};
use cubecl::prelude::*;

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
    /// What bounds the result; it lets a NaN through.
    pub clamp: Clamp,
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

/// What a kernel does to a value before it is stored, a comptime choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Epilogue {
    /// Added to the sum, or what it starts from: each kernel's own affair, as the bits depend on it.
    pub bias: bool,
    pub affine: bool,
    pub residual: bool,
    pub clamp: Clamp,
}

/// What an epilogue reads, as one kernel argument; a buffer that it has no use for may be any.
#[derive(CubeLaunch, CubeType)]
pub(crate) struct Operands<S: Float, F: Float, B: Size> {
    /// Of each channel, as are the next three.
    pub bias: Box<[Vector<S, B>]>,
    pub centre: Box<[Vector<F, B>]>,
    pub scale: Box<[Vector<F, B>]>,
    pub shift: Box<[Vector<F, B>]>,
    /// The residual, or a gradient that came from elsewhere.
    pub residual: Box<[Vector<S, B>]>,
    pub residual_view: View,
}

/// `act((value - centre) scale + shift + residual)`, as far as `epilogue` has it, of the channels from `channel` on; `pixel` is the
/// residual's. The first `used` lanes count, see [`load_part`].
#[cube]
pub(crate) fn apply<S: Float, F: Float, B: Size, N: Size, T: Size>(
    value: Vector<F, N>,
    operands: &Operands<S, F, B>,
    pixel: usize,
    channel: usize,
    #[comptime] used: usize,
    #[comptime] epilogue: Epilogue,
) -> Vector<F, N> {
    let mut value = value;
    if comptime!(epilogue.affine) {
        let centre = load_part::<F, F, B, N, T>(&operands.centre, channel, used);
        let scale = load_part::<F, F, B, N, T>(&operands.scale, channel, used);
        let shift = load_part::<F, F, B, N, T>(&operands.shift, channel, used);
        value = fma(value - centre, scale, shift);
    }
    if comptime!(epilogue.residual) {
        let offset = operands.residual_view.at(pixel) + channel;
        value += load_part::<S, F, B, N, T>(&operands.residual, offset, used);
    }
    clamped::<F, N>(value, comptime!(epilogue.clamp))
}

/// What a convolution or a product is followed by, in registers.
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

    pub fn epilogue(&self) -> Epilogue {
        Epilogue {
            bias: self.bias.is_some(),
            affine: self.affine.is_some(),
            residual: self.residual.is_some(),
            clamp: self.affine.map_or(Clamp::None, |affine| affine.clamp),
        }
    }

    /// The operands in items of `item` elements, for a launch whose buffer number `position` is `out`; the residual may lie where
    /// `out` does, which devices want to be told. `any` stands in for what the epilogue never reads.
    pub fn operands<S: Float, F: Float, B: Size>(
        &self,
        item: usize,
        any: &Tensor,
        out: &Tensor,
        position: usize,
    ) -> OperandsLaunch<S, F, B> {
        let [centre, scale, shift] = self.affine.map_or([any; 3], |affine| {
            [affine.centre, affine.scale, affine.shift]
        });
        let residual = self.residual.unwrap_or(any);
        let added = if residual.lies_at(out, 0) {
            BufferArg::alias(position, out.buffer(item, 0).len())
        } else {
            residual.buffer(item, 0)
        };
        OperandsLaunch::new(
            self.bias.unwrap_or(any).buffer(item, 0),
            centre.buffer(item, 0),
            scale.buffer(item, 0),
            shift.buffer(item, 0),
            added,
            residual.view(),
        )
    }
}
