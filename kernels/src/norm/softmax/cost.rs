//! Work and traffic of a softmax. The second and third walk over a row are left out: they find it in a cache.

use crate::{Cost, DType};

/// Reads `x` `[.., c]`, writes `y`, both of `shape`.
pub fn forward(shape: &[usize], dtype: DType) -> Cost {
    let len = shape.iter().product();
    let length = shape.last().copied().unwrap_or(0);
    let rows = len / length.max(1);
    Cost::traffic(len, len, dtype.size()) + Cost::of_softmaxes(rows, length)
}

/// Reads `y` and the gradient that arrives, writes the gradient that leaves, of `len` elements: products and sums alone.
pub fn backward(len: usize, dtype: DType) -> Cost {
    Cost::traffic(2 * len, len, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        // Two rows of five: ten exponentials, four comparisons a row, one reciprocal a row.
        let wanted = Cost {
            exponentials: 10,
            divisions: 2,
            compares: 8,
            bytes_read: 80,
            bytes_written: 80,
            ..Cost::default()
        };
        assert_eq!(forward(&[1, 2, 5], DType::F64), wanted);
        assert_eq!(forward(&[2, 0], DType::F64), Cost::default());
        assert_eq!(backward(10, DType::F32), Cost::traffic(20, 10, 4));
    }
}
