//! Traffic of one step.

use crate::{Cost, DType};

/// Reads parameters, gradients, two moments and decay factors; writes parameters and moments.
pub fn step(params: usize, dtype: DType) -> Cost {
    Cost::traffic(5 * params, 3 * params, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let cost = step(10, DType::F32);
        assert_eq!(
            (cost.bytes_read, cost.bytes_written, cost.macs),
            (200, 120, 0)
        );
    }
}
