//! Work and traffic of an activation.

use super::Activation;
use crate::{Cost, DType};

/// Values or slopes of `len` elements, without traffic: a comparison for each bound, an exponential and a division for each sigmoid.
pub(crate) fn arithmetic(len: usize, activation: Activation) -> Cost {
    match activation {
        Activation::Identity => Cost::default(),
        Activation::Relu => Cost::default().with_compares(len),
        Activation::Relu6 | Activation::HardSwish | Activation::HardSigmoid => {
            Cost::default().with_compares(2 * len)
        }
        Activation::Silu | Activation::Sigmoid => {
            Cost::default().with_exponentials(len).with_divisions(len)
        }
    }
}

/// Reads `x`, writes `y`, of `len` elements each.
pub fn forward(len: usize, dtype: DType, activation: Activation) -> Cost {
    Cost::traffic(len, len, dtype.size()) + arithmetic(len, activation)
}

/// Reads `x` and the gradient that arrives, writes the gradient that leaves.
pub fn backward(len: usize, dtype: DType, activation: Activation) -> Cost {
    Cost::traffic(2 * len, len, dtype.size()) + arithmetic(len, activation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_case() {
        let relu6 = Cost {
            compares: 20,
            bytes_read: 40,
            bytes_written: 40,
            ..Cost::default()
        };
        assert_eq!(forward(10, DType::F32, Activation::Relu6), relu6);
        let silu = Cost {
            exponentials: 10,
            divisions: 10,
            bytes_read: 160,
            bytes_written: 80,
            ..Cost::default()
        };
        assert_eq!(backward(10, DType::F64, Activation::Silu), silu);
        let copy = forward(10, DType::F32, Activation::Identity);
        assert_eq!(copy, Cost::traffic(10, 10, 4));
    }
}
