//! Which tensors share memory, and which results may lie where an operand does.
//!
//! A kernel over channels reads and writes some elements twice (`lanes.rs`), and units run in no order: a result that lies over an
//! operand would be computed from itself. So an operation refuses a result that shares memory with what it reads. Those that make one
//! element out of one element may write exactly over it, and then walk in vectors that share no element; partly over it, none may.

use super::Tensor;
use crate::{KernelError, planted};

/// How the elements of two tensors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// No byte belongs to both.
    Apart,
    /// Each element of one is that of the other.
    Same,
    /// Anything else, or more than can be told.
    Part,
}

impl Tensor {
    /// Bytes from the start of the buffer to the first element, and past the last one.
    fn bytes_of_buffer(&self) -> [usize; 2] {
        let first = self.memory.start() + self.offset * self.dtype.size();
        let last = (self.pixels() - 1) * self.pitch + super::packed(&self.shape);
        [first, first + last * self.dtype.size()]
    }

    fn overlap(&self, other: &Self) -> Overlap {
        if self.is_empty() || other.is_empty() || !self.memory.shares(&other.memory) {
            return Overlap::Apart;
        }
        let ([first, last], [start, end]) = (self.bytes_of_buffer(), other.bytes_of_buffer());
        if last <= start || end <= first {
            return Overlap::Apart;
        }
        if self.dtype != other.dtype || self.pitch != other.pitch {
            return Overlap::Part;
        }
        let [channels, others] = [self, other].map(|tensor| super::packed(&tensor.shape));
        if first == start && channels == others && self.pixels() == other.pixels() {
            return Overlap::Same;
        }
        // Windows of one tensor: where in the other's pixels this one's begin.
        let (pitch, size) = (self.pitch, self.dtype.size());
        let behind = (first as isize - start as isize).rem_euclid((pitch * size) as isize) as usize;
        let apart = behind >= others * size && behind + channels * size <= pitch * size;
        if apart || planted::is("overlaps_are_apart") {
            Overlap::Apart
        } else {
            Overlap::Part
        }
    }

    /// Passes when this tensor, which is written, shares no memory with `others`, given with their names. Windows of one tensor pass
    /// where they have no channel in common.
    ///
    /// # Errors
    /// [`KernelError::Overlap`] for the first of `others` that shares memory.
    pub fn check_apart(
        &self,
        op: &'static str,
        tensor: &'static str,
        others: &[(&'static str, &Self)],
    ) -> Result<(), KernelError> {
        let shared = others
            .iter()
            .find(|(_, other)| self.overlap(other) != Overlap::Apart);
        match shared {
            None => Ok(()),
            Some(&(other, _)) => Err(KernelError::Overlap {
                op,
                tensor,
                other,
                wanted: "memory of its own",
            }),
        }
    }

    /// Passes when this tensor, which is written, lies exactly where `other` lies or shares no memory with it.
    ///
    /// # Errors
    /// [`KernelError::Overlap`] otherwise.
    pub fn check_in_place(
        &self,
        op: &'static str,
        tensor: &'static str,
        (name, other): (&'static str, &Self),
    ) -> Result<(), KernelError> {
        match self.overlap(other) {
            Overlap::Apart | Overlap::Same => Ok(()),
            Overlap::Part => Err(KernelError::Overlap {
                op,
                tensor,
                other: name,
                wanted: "memory of its own, or exactly the same elements",
            }),
        }
    }

    /// Whether this tensor's elements are those of `other`, in the same memory.
    pub(crate) fn is_over(&self, other: &Self) -> bool {
        self.overlap(other) == Overlap::Same
    }
}
