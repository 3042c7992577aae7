//! Host memory that a device takes over as it is, and gives back.
//!
//! [`Tensor::from_f32`](crate::Tensor::from_f32) copies on the calling thread, into memory that the system has to hand out page by page: for
//! 6 MB, a batch of 128 images of 64 px, 1,600 faults a step. A [`Staged`] is filled in place by whoever makes the numbers, on
//! whatever thread that is. The device reads it where it lies, and drops it when it has read it; then it goes back to its
//! [`Staging`], and the next one is the same memory.

use bytemuck::{cast_slice, cast_slice_mut};
use cubecl_common::bytes::{
    AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes,
};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

/// Memory for numbers that are used again and again. Its clones share it.
#[derive(Debug, Clone, Default)]
pub struct Staging {
    free: Arc<Mutex<Vec<Vec<f32>>>>,
}

impl Staging {
    /// Memory of nobody so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for `len` numbers: whatever was left there, or zeros.
    pub fn room(&self, len: usize) -> Staged {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut values = free.unwrap_or_default();
        values.resize(len, 0.0);
        Staged {
            values,
            home: self.clone(),
        }
    }
}

/// Numbers in memory of a [`Staging`], to which it returns when they are dropped: a slice of `f32`.
#[derive(Debug)]
pub struct Staged {
    values: Vec<f32>,
    home: Staging,
}

impl Staged {
    /// Room for as many numbers in other memory of the same staging: whatever was left there, or zeros.
    pub fn another(&self) -> Self {
        self.home.room(self.values.len())
    }

    /// The numbers as bytes that a device reads where they lie.
    pub(crate) fn into_bytes(self) -> Bytes {
        let len = size_of_val(&self[..]);
        // SAFETY: all `len` bytes are of numbers, which are initialised.
        unsafe { Bytes::from_controller(Box::new(Lent(self)), len) }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let mut free = self
            .home
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.push(values);
    }
}

impl Deref for Staged {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Staged {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl Clone for Staged {
    fn clone(&self) -> Self {
        let mut clone = self.another();
        clone.copy_from_slice(self);
        clone
    }
}

impl PartialEq for Staged {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

/// A [`Staged`] in a device's hands.
struct Lent(Staged);

impl AllocationController for Lent {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = cast_slice_mut(&mut self.0);
        // SAFETY: the same layout, and the caller writes what is initialised.
        Ok(unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = cast_slice(&self.0);
        // SAFETY: the same layout.
        Ok(unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_given_back_is_lent_again() {
        let staging = Staging::new();
        let (mut one, two) = (staging.room(5), staging.room(5));
        let (first, second) = (one.as_ptr(), two.as_ptr());
        assert_ne!(first, second);
        one[4] = 7.0;
        drop(one);
        let (shorter, new) = (staging.room(3), two.another());
        assert_eq!((shorter.as_ptr(), shorter.len()), (first, 3));
        assert!(new.as_ptr() != first && new.as_ptr() != second);
        assert_eq!(&*new, &[0.0; 5]);
    }

    #[test]
    fn bytes_lie_where_the_numbers_lay() {
        let staging = Staging::new();
        let mut numbers = staging.room(3);
        numbers.copy_from_slice(&[1.0, -2.0, 0.5]);
        let (at, copy) = (numbers.as_ptr(), numbers.clone());
        let bytes = numbers.into_bytes();
        assert_eq!(bytes.as_ptr().cast(), at);
        assert_eq!(&bytes[..], cast_slice::<f32, u8>(&copy));
        drop(bytes);
        assert_eq!(staging.room(3).as_ptr(), at);
    }
}
