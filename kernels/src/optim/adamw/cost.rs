//! Work and traffic of one step.

use crate::{Cost, DType};

/// Reads parameters, gradients, two moments and decay factors; writes parameters and moments. Each parameter has
/// a root and a division.
pub fn step(params: usize, dtype: DType) -> Cost {
    Cost::traffic(5 * params, 3 * params, dtype.size()).with_divisions(2 * params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let cost = step(10, DType::F32);
        assert_eq!(
            (cost.bytes_read, cost.bytes_written, cost.divisions),
            (200, 120, 20)
        );
    }
}
