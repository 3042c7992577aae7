//! Traffic of a gate; the partial sums, 1/32 of a map, are left out.

use crate::{Cost, DType};

/// Reads a map and one row an image, writes a map; `input` is `[n, h, w, c]`.
pub fn forward(input: [usize; 4], dtype: DType) -> Cost {
    let [n, h, w, c] = input;
    Cost::traffic(n * h * w * c + n * c, n * h * w * c, dtype.size())
}

/// Reads two maps and one row an image, writes one of each.
pub fn backward(input: [usize; 4], dtype: DType) -> Cost {
    let [n, h, w, c] = input;
    let (map, row) = (n * h * w * c, n * c);
    Cost::traffic(2 * map + row, map + row, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let traffic = |cost: Cost| (cost.bytes_read, cost.bytes_written, cost.macs);
        assert_eq!(traffic(forward([2, 3, 4, 5], DType::F32)), (520, 480, 0));
        assert_eq!(traffic(backward([2, 3, 4, 5], DType::F32)), (1000, 520, 0));
    }
}
