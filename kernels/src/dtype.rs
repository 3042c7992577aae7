use crate::{Client, Tensor};
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

/// The element type of a [`Tensor`](crate::Tensor).
///
/// 16-bit types are for storage alone: kernels read them, compute in [`DType::accumulator`] and round what they write, once. What
/// is small beside its tensors and must not lose its digits is held in the accumulator itself: losses and their gradients until
/// something scales them, the moments and parameters of normalisations, confidences of teachers. Optimizers refuse 16-bit parameters, in which a step's small changes would vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 16-bit floats of IEEE 754: 11 bits of precision, up to 65,504.
    F16,
    /// 16-bit floats with the exponent of [`DType::F32`] and 8 bits of precision.
    Bf16,
    /// 32-bit floats: training and inference.
    F32,
    /// 64-bit floats: gradient checks.
    F64,
}

impl DType {
    /// Every element type, narrow ones first.
    pub const ALL: [Self; 4] = [Self::F16, Self::Bf16, Self::F32, Self::F64];

    /// What it is called in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Whether elements have 16 bits.
    pub fn is_half(self) -> bool {
        self.accumulator() != self
    }

    /// The type in which kernels compute with elements of this one.
    pub fn accumulator(self) -> Self {
        match self {
            Self::F16 | Self::Bf16 => Self::F32,
            wide => wide,
        }
    }

    /// Whether the device of `client` loads, stores and converts elements of this type.
    pub fn is_on(self, client: &Client) -> bool {
        client.properties().supports_type(self.elem())
    }

    /// The element type of a kernel's `#[define(S)]` argument.
    pub fn elem(self) -> ElemType {
        ElemType::Float(match self {
            Self::F16 => FloatKind::F16,
            Self::Bf16 => FloatKind::BF16,
            Self::F32 => FloatKind::F32,
            Self::F64 => FloatKind::F64,
        })
    }

    /// The element types of a kernel's `#[define(S, F)]` argument: the one that tensors store, and the one to compute in.
    pub fn elems(self) -> [ElemType; 2] {
        [self.elem(), self.accumulator().elem()]
    }

    /// [`DType::elems`] and that of `results`: partial results are kept in the accumulator, a single one goes into the output itself.
    pub fn elems_into(self, results: &Tensor) -> [ElemType; 3] {
        [
            self.elem(),
            self.accumulator().elem(),
            results.dtype().elem(),
        ]
    }

    /// A number to compute with, as a kernel's argument.
    pub fn scalar(self, value: f64) -> InputScalar {
        InputScalar::new(value, self.accumulator().elem())
    }

    /// The number of this type that is nearest to `value`.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::F16 => half::f16::from_f64(value).to_f64(),
            Self::Bf16 => half::bf16::from_f64(value).to_f64(),
            Self::F32 => f64::from(value as f32),
            Self::F64 => value,
        }
    }
}
