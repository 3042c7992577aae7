use crate::DType;
use std::ops::{Add, AddAssign};

/// The work of one launch or of a sum of launches, as a function of the problem alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates of convolutions and matrix products (biases, norms and activations are not counted).
    pub macs: u64,
    /// Bytes that must be read at least once.
    pub bytes_read: u64,
    /// Bytes that must be written at least once.
    pub bytes_written: u64,
}

impl Cost {
    /// A cost without multiply-accumulates, for `read` and `written` elements of `size` bytes.
    pub fn traffic(read: usize, written: usize, size: usize) -> Self {
        Self {
            macs: 0,
            bytes_read: (read * size) as u64,
            bytes_written: (written * size) as u64,
        }
    }

    /// The cost of a loss, which reads `read` elements of `dtype` and writes `written` of its accumulator.
    pub(crate) fn of_loss(read: usize, written: usize, dtype: DType) -> Self {
        Self {
            bytes_written: (written * dtype.accumulator().size()) as u64,
            ..Self::traffic(read, 0, dtype.size())
        }
    }

    /// The same traffic with `macs` multiply-accumulates.
    pub fn with_macs(self, macs: usize) -> Self {
        Self {
            macs: macs as u64,
            ..self
        }
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            macs: self.macs + other.macs,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
