//! Traffic of DKD. The second read of a row is left out: it finds the row in a cache.

use super::DkdProblem;
use crate::Cost;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// Reads the logits of both networks and the labels, writes loss and gradient.
pub fn fused(problem: &DkdProblem) -> Cost {
    let &DkdProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let floats = Cost::of_loss(2 * batch * classes, batch * classes + batch, dtype);
    Cost {
        bytes_read: floats.bytes_read + batch as u64 * LABEL,
        ..floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::dkd::DkdOptions};

    #[test]
    fn a_hand_computed_case() {
        let options = DkdOptions::default();
        let problem = DkdProblem {
            batch: 3,
            classes: 5,
            options,
            dtype: DType::F32,
        };
        // Two times 15 logits and 3 labels come in; 15 gradients and 3 losses go out; all of 4 bytes.
        let wanted = Cost {
            macs: 0,
            bytes_read: 4 * 33,
            bytes_written: 4 * 18,
        };
        assert_eq!(problem.cost(), wanted);
    }
}
