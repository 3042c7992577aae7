//! How many elements a kernel reaches, and the one place where more are refused.

use super::Tensor;
use crate::{Client, DType, KernelError};

/// The number of elements of a tensor of `shape`, or the largest number there is where it is larger still.
pub(super) fn elements(shape: &[usize]) -> usize {
    if shape.contains(&0) {
        0
    } else {
        shape
            .iter()
            .fold(1, |product, &extent| product.saturating_mul(extent))
    }
}

/// Whether 32-bit indices count through `shape`; through an empty one without its extents of 0, as one multiplies those as well.
pub(super) fn is_addressable(shape: &[usize]) -> bool {
    let counted = shape.iter().fold(1usize, |product, &extent| {
        product.saturating_mul(extent.max(1))
    });
    counted <= Tensor::MOST_ELEMENTS
}

impl Tensor {
    /// The most elements that a tensor or a scratch may have: CubeCL's indices have 32 bits unless a kernel asks for more, on every
    /// runtime. It is 4 Gi less 16 Mi, as a grid's last units count past the last element: by 65,535 cubes of 128 units at most.
    ///
    /// Operations refuse what is larger by name, with [`KernelError::TooLarge`], before they ask for memory. A tensor that
    /// [`Tensor::empty`] was asked for all the same has no memory, and nobody takes it.
    pub const MOST_ELEMENTS: usize = (1 << 32) - (1 << 24);

    /// Passes when a kernel reaches every element of this tensor. All other checks of a tensor begin with this one.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`] for more than [`Tensor::MOST_ELEMENTS`].
    pub fn check_addressable(
        &self,
        op: &'static str,
        tensor: &'static str,
    ) -> Result<(), KernelError> {
        if is_addressable(&self.shape) {
            return Ok(());
        }
        let shape = self.shape.clone();
        Err(KernelError::TooLarge { op, tensor, shape })
    }

    /// [`Tensor::empty`] for a result or a scratch whose size is not that of a tensor that was checked.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`] for more than [`Tensor::MOST_ELEMENTS`]; no memory was asked for.
    pub fn room(
        op: &'static str,
        tensor: &'static str,
        client: &Client,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Self, KernelError> {
        if is_addressable(shape) {
            return Ok(Self::empty(client, shape, dtype));
        }
        let shape = shape.to_vec();
        Err(KernelError::TooLarge { op, tensor, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_gi_elements_less_what_a_grid_rounds_up_by_are_addressable() {
        let most = Tensor::MOST_ELEMENTS;
        assert!(is_addressable(&[most]) && !is_addressable(&[most + 1]));
        assert!(is_addressable(&[1 << 16, (1 << 16) - (1 << 8)]) && !is_addressable(&[1 << 16; 2]));
        assert!(is_addressable(&[]) && is_addressable(&[0, 3]));
        // Products that wrap: to 0, and to 4.
        assert!(!is_addressable(&[1 << 32; 2]) && !is_addressable(&[(1 << 62) + 1, 4]));
        assert!(!is_addressable(&[0, most + 1]));
        assert_eq!(
            [elements(&[1 << 32; 2]), elements(&[0, usize::MAX, 2])],
            [usize::MAX, 0]
        );
        // The units of the last cubes of the largest grid.
        assert!(u32::try_from(most + 65_535 * 128).is_ok());
    }
}
