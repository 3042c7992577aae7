use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

/// The element type of a [`Tensor`](crate::Tensor).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit floats: training and inference.
    F32,
    /// 64-bit floats: gradient checks.
    F64,
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The element type of a kernel's `#[define(F)]` argument.
    pub fn elem(self) -> ElemType {
        match self {
            Self::F32 => ElemType::Float(FloatKind::F32),
            Self::F64 => ElemType::Float(FloatKind::F64),
        }
    }

    /// A number of this type as a kernel's argument.
    pub fn scalar(self, value: f64) -> InputScalar {
        InputScalar::new(value, self.elem())
    }
}
