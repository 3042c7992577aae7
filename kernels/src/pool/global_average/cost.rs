//! Traffic of the global average and of its gradient.

use crate::{Cost, DType};

/// Reads every pixel, writes one row an image; `input` is `[n, h, w, c]`.
pub fn forward(input: [usize; 4], dtype: DType) -> Cost {
    let [n, h, w, c] = input;
    Cost::traffic(n * h * w * c, n * c, dtype.size())
}

/// Reads one row an image, writes every pixel; `input` is `[n, h, w, c]`.
pub fn backward(input: [usize; 4], dtype: DType) -> Cost {
    let [n, h, w, c] = input;
    Cost::traffic(n * c, n * h * w * c, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let cost = forward([2, 3, 4, 5], DType::F32);
        assert_eq!(
            (cost.bytes_read, cost.bytes_written, cost.macs),
            (480, 40, 0)
        );
        assert_eq!(backward([2, 3, 4, 5], DType::F32).bytes_written, 480);
    }
}
