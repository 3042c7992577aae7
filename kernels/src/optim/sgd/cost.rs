//! Traffic of one step.

use crate::{Cost, DType};

/// Reads parameters, gradients, velocities and decay factors; writes parameters and velocities.
pub fn step(params: usize, dtype: DType) -> Cost {
    Cost::traffic(4 * params, 2 * params, dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        assert_eq!(
            step(10, DType::F32),
            Cost {
                bytes_read: 160,
                bytes_written: 80,
                ..Cost::default()
            }
        );
    }
}
