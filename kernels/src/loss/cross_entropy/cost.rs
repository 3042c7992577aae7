//! Work and traffic of the cross-entropy. The second read of a row is left out: it finds the row in a cache.

use super::CrossEntropyProblem;
use crate::Cost;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// Reads logits and labels, writes loss and gradient: a softmax a sample, and the logarithm of its sum.
pub fn fused(problem: &CrossEntropyProblem) -> Cost {
    let &CrossEntropyProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let floats = Cost::of_loss(batch * classes, batch * classes + batch, dtype)
        + Cost::of_softmaxes(batch, classes).with_logarithms(batch);
    Cost {
        bytes_read: floats.bytes_read + batch as u64 * LABEL,
        ..floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = CrossEntropyProblem {
            batch: 3,
            classes: 5,
            smoothing: 0.1,
            dtype: DType::F64,
        };
        // 15 logits and 3 labels of 4 bytes come in; 15 gradients and 3 losses go out.
        let wanted = Cost {
            macs: 0,
            exponentials: 15,
            logarithms: 3,
            divisions: 3,
            compares: 12,
            bytes_read: 8 * 15 + 4 * 3,
            bytes_written: 8 * 18,
        };
        assert_eq!(problem.cost(), wanted);
    }
}
