//! What operations ask of their tensors before any launch.

use super::Tensor;
use crate::{DType, KernelError};

impl Tensor {
    /// Passes when this tensor is no window.
    ///
    /// # Errors
    /// In this order: those of [`Tensor::check_addressable`]; [`KernelError::Window`].
    pub fn check_whole(&self, op: &'static str, tensor: &'static str) -> Result<(), KernelError> {
        self.check_addressable(op, tensor)?;
        if !self.is_window() {
            return Ok(());
        }
        let (offset, pitch) = (self.offset, self.pitch);
        let shape = self.shape.clone();
        Err(KernelError::Window {
            op,
            tensor,
            shape,
            offset,
            pitch,
        })
    }

    /// Checks shape, element type and that the tensor is no window.
    ///
    /// # Errors
    /// In this order: those of [`Tensor::check_addressable`]; [`KernelError::Shape`], [`KernelError::DType`], [`KernelError::Window`].
    pub fn check(
        &self,
        op: &'static str,
        tensor: &'static str,
        shape: &[usize],
        dtype: DType,
    ) -> Result<(), KernelError> {
        self.check_view(op, tensor, shape, dtype)?;
        self.check_whole(op, tensor)
    }

    /// Checks shape and element type of a tensor that may be a window.
    ///
    /// # Errors
    /// In this order: those of [`Tensor::check_addressable`]; [`KernelError::Shape`], [`KernelError::DType`].
    pub fn check_view(
        &self,
        op: &'static str,
        tensor: &'static str,
        shape: &[usize],
        dtype: DType,
    ) -> Result<(), KernelError> {
        self.check_addressable(op, tensor)?;
        if self.shape != shape {
            let (got, wanted) = (self.shape.clone(), format!("{shape:?}"));
            return Err(KernelError::Shape {
                op,
                tensor,
                got,
                wanted,
            });
        }
        if self.dtype != dtype {
            return Err(KernelError::DType {
                op,
                tensor,
                got: self.dtype,
                wanted: dtype,
            });
        }
        Ok(())
    }

    /// The shape as `[n, h, w, c]` of a tensor that is no window.
    ///
    /// # Errors
    /// Those of [`Tensor::dims`].
    pub fn nhwc(&self, op: &'static str, tensor: &'static str) -> Result<[usize; 4], KernelError> {
        self.dims(op, tensor, "[n, h, w, c]")
    }

    /// The shape as an array of the rank that the caller expects, of a tensor that is no window.
    ///
    /// # Errors
    /// In this order: those of [`Tensor::dims_view`]; [`KernelError::Window`] for a window.
    pub fn dims<const RANK: usize>(
        &self,
        op: &'static str,
        tensor: &'static str,
        wanted: &str,
    ) -> Result<[usize; RANK], KernelError> {
        let shape = self.dims_view(op, tensor, wanted)?;
        self.check_whole(op, tensor)?;
        Ok(shape)
    }

    /// The shape as an array of the rank that the caller expects, of a tensor that may be a window.
    ///
    /// # Errors
    /// In this order: those of [`Tensor::check_addressable`]; [`KernelError::Shape`], saying `wanted`, when the rank differs.
    pub fn dims_view<const RANK: usize>(
        &self,
        op: &'static str,
        tensor: &'static str,
        wanted: &str,
    ) -> Result<[usize; RANK], KernelError> {
        self.check_addressable(op, tensor)?;
        self.shape
            .as_slice()
            .try_into()
            .map_err(|_| KernelError::Shape {
                op,
                tensor,
                got: self.shape.clone(),
                wanted: wanted.to_string(),
            })
    }
}
