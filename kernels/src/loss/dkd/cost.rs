//! Work and traffic of DKD. The second read of a row is left out: it finds the row in a cache.

use super::DkdProblem;
use crate::Cost;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// A network's softmaxes of `batch` samples, without traffic, each with the logarithm of its sum: that over the other classes, and
/// that over target and rest, whose exponential of 1 is none.
pub(crate) fn decoupled(batch: usize, classes: usize) -> Cost {
    let others = Cost::of_softmaxes(batch, classes - 1);
    let odds = Cost::default()
        .with_exponentials(batch)
        .with_divisions(batch)
        .with_compares(batch);
    (others + odds).with_logarithms(2 * batch)
}

/// Reads the logits of both networks and the labels, writes loss and gradient.
pub fn fused(problem: &DkdProblem) -> Cost {
    let &DkdProblem {
        batch,
        classes,
        dtype,
        ..
    } = problem;
    let floats = Cost::of_loss(2 * batch * classes, batch * classes + batch, dtype)
        + decoupled(2 * batch, classes);
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
            // Of each network and sample: four of the other classes and one of the odds, two sums, and three comparisons and one.
            exponentials: 30,
            logarithms: 12,
            divisions: 12,
            compares: 24,
            bytes_read: 4 * 33,
            bytes_written: 4 * 18,
        };
        assert_eq!(problem.cost(), wanted);
    }
}
