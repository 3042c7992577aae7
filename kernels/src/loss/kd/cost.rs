//! Work and traffic of classical distillation. The second read of a row is left out: it finds the row in a cache.

use super::KdProblem;
use crate::Cost;

/// Reads the logits of both networks, writes loss and gradient: of each network a softmax a sample, and the logarithm of its sum.
pub fn fused(problem: &KdProblem) -> Cost {
    let &KdProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    Cost::of_loss(2 * batch * classes, batch * classes + batch, dtype)
        + Cost::of_softmaxes(2 * batch, classes).with_logarithms(2 * batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::kd::KdOptions};

    #[test]
    fn a_hand_computed_case() {
        let problem = KdProblem {
            batch: 3,
            classes: 5,
            options: KdOptions::default(),
            dtype: DType::F32,
        };
        // Two times 15 logits come in; 15 gradients and 3 losses go out; all of 4 bytes.
        let wanted = Cost {
            macs: 0,
            exponentials: 30,
            logarithms: 6,
            divisions: 6,
            compares: 24,
            bytes_read: 4 * 30,
            bytes_written: 4 * 18,
        };
        assert_eq!(problem.cost(), wanted);
        // The logits of 2 bytes; what is written is in 32 bits.
        let half = KdProblem {
            dtype: DType::F16,
            ..problem
        };
        assert_eq!(half.cost().bytes_read, 2 * 30);
        assert_eq!(half.cost().bytes_written, 4 * 18);
    }
}
