//! Work and traffic of a dropout; the integers of its mask stay in registers, and are not counted.

use crate::{Cost, DType};

/// Reads and writes `len` elements, in either direction, each by a comparison; nothing at a rate of 0.
pub fn forward(len: usize, dtype: DType, rate: f64) -> Cost {
    let moved = if rate == 0.0 { 0 } else { len };
    Cost::traffic(moved, moved, dtype.size()).with_compares(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let of = |cost: Cost| (cost.bytes_read, cost.bytes_written, cost.compares);
        assert_eq!(of(forward(10, DType::F32, 0.5)), (40, 40, 10));
        assert_eq!(of(forward(3, DType::F64, 0.1)), (24, 24, 3));
        assert_eq!(forward(10, DType::F32, 0.0), Cost::default());
    }
}
