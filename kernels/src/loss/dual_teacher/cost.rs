//! Traffic of the dual-teacher loss. The later reads of a row are left out: they find the row in a cache.

use super::DualTeacherProblem;
use crate::Cost;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// Reads both teachers' logits; writes four statistics a row, reads them, and writes four weights.
pub fn weigh(problem: &DualTeacherProblem) -> Cost {
    let &DualTeacherProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    Cost::traffic(2 * batch * classes + 4 * batch, 4 * batch + 4, dtype.size())
}

/// Reads the logits of all three networks, the teachers' four statistics a row, the labels and the weights; writes loss and gradient.
pub fn fused(problem: &DualTeacherProblem) -> Cost {
    let &DualTeacherProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let read = 3 * batch * classes + 4 * batch + 4;
    let floats = Cost::of_loss(read, batch * classes + batch, dtype);
    Cost {
        bytes_read: floats.bytes_read + batch as u64 * LABEL,
        ..floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::dual_teacher::DualTeacherOptions};

    #[test]
    fn a_hand_computed_case() {
        let problem = DualTeacherProblem {
            batch: 3,
            classes: 5,
            options: DualTeacherOptions::default(),
            dtype: DType::F32,
        };
        // Two times 15 logits and 12 statistics come in; the statistics and 4 weights go out.
        let weighing = Cost {
            macs: 0,
            bytes_read: 4 * 42,
            bytes_written: 4 * 16,
        };
        assert_eq!(problem.cost_of_weighing(), weighing);
        // Three times 15 logits, 12 statistics, 4 weights and 3 labels come in; 15 gradients and 3 losses go out.
        let loss = Cost {
            macs: 0,
            bytes_read: 4 * 64,
            bytes_written: 4 * 18,
        };
        assert_eq!(problem.cost(), loss);
    }
}
