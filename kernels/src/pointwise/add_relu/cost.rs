//! Work and traffic of a broadcast sum with ReLU; the partial sums, 1/32 of a map, are left out.

use crate::{Cost, DType};

/// Reads a map and one row an image, writes a map; `input` is `[n, h, w, c]`.
pub fn forward(input: [usize; 4], dtype: DType) -> Cost {
    let [n, h, w, c] = input;
    let (map, row) = (n * h * w * c, n * c);
    Cost::traffic(map + row, map, dtype.size()).with_compares(map)
}

/// Reads two maps, writes a map and one row an image.
pub fn backward(input: [usize; 4], dtype: DType) -> Cost {
    let [n, h, w, c] = input;
    let (map, row) = (n * h * w * c, n * c);
    Cost::traffic(2 * map, map + row, dtype.size()).with_compares(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let of = |read, written| Cost {
            compares: 120,
            bytes_read: read,
            bytes_written: written,
            ..Cost::default()
        };
        assert_eq!(forward([2, 3, 4, 5], DType::F32), of(520, 480));
        assert_eq!(backward([2, 3, 4, 5], DType::F32), of(960, 520));
    }
}
