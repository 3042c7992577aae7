//! Work and traffic of a gate; the partial sums, 1/32 of a map, are left out.

use crate::pointwise::activation::{self, Activation};
use crate::{Cost, DType};

/// Reads a map and one row an image, whose elements the function is taken of, writes a map; `input` is `[n, h, w, c]`.
pub fn forward(input: [usize; 4], dtype: DType, activation: Activation) -> Cost {
    let [n, h, w, c] = input;
    let (map, row) = (n * h * w * c, n * c);
    Cost::traffic(map + row, map, dtype.size()) + activation::cost::arithmetic(row, activation)
}

/// Reads two maps and one row an image, writes one of each; takes the function's values and its slopes.
pub fn backward(input: [usize; 4], dtype: DType, activation: Activation) -> Cost {
    let [n, h, w, c] = input;
    let (map, row) = (n * h * w * c, n * c);
    let values_and_slopes = activation::cost::arithmetic(2 * row, activation);
    Cost::traffic(2 * map + row, map + row, dtype.size()) + values_and_slopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        // 120 elements, gated by 10 numbers.
        let shape = [2, 3, 4, 5];
        let sigmoid = Cost {
            exponentials: 10,
            divisions: 10,
            bytes_read: 520,
            bytes_written: 480,
            ..Cost::default()
        };
        assert_eq!(forward(shape, DType::F32, Activation::Sigmoid), sigmoid);
        let hard = Cost {
            compares: 2 * 20,
            bytes_read: 1000,
            bytes_written: 520,
            ..Cost::default()
        };
        assert_eq!(backward(shape, DType::F32, Activation::HardSigmoid), hard);
    }
}
