//! Traffic of a softmax. The second and third walk over a row are left out: they find it in a cache.

use crate::{Cost, DType};

/// Reads `x`, writes `y`, of `len` elements each.
pub fn forward(len: usize, dtype: DType) -> Cost {
    Cost::traffic(len, len, dtype.size())
}

/// Reads `y` and the gradient that arrives, writes the gradient that leaves.
pub fn backward(len: usize, dtype: DType) -> Cost {
    Cost::traffic(2 * len, len, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let traffic = |cost: Cost| (cost.bytes_read, cost.bytes_written, cost.macs);
        assert_eq!(traffic(forward(10, DType::F64)), (80, 80, 0));
        assert_eq!(traffic(backward(10, DType::F32)), (80, 40, 0));
    }
}
