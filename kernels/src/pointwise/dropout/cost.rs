//! Traffic of a dropout; the integers of its mask stay in registers.

use crate::{Cost, DType};

/// Reads and writes `len` elements, in either direction; nothing at a rate of 0.
pub fn forward(len: usize, dtype: DType, rate: f64) -> Cost {
    let moved = if rate == 0.0 { 0 } else { len };
    Cost::traffic(moved, moved, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let traffic = |cost: Cost| (cost.bytes_read, cost.bytes_written, cost.macs);
        assert_eq!(traffic(forward(10, DType::F32, 0.5)), (40, 40, 0));
        assert_eq!(traffic(forward(3, DType::F64, 0.1)), (24, 24, 0));
        assert_eq!(traffic(forward(10, DType::F32, 0.0)), (0, 0, 0));
    }
}
