//! Traffic of the cosine loss. The later reads of a row are left out: they find the row in a cache.

use super::CosineProblem;
use crate::Cost;

/// Reads student and teacher, writes loss and gradient.
pub fn fused(problem: &CosineProblem) -> Cost {
    let elements = problem.batch * problem.length;
    Cost::of_loss(2 * elements, elements + problem.batch, problem.dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::cosine::CosineOptions};

    #[test]
    fn a_hand_computed_case() {
        let options = CosineOptions::default();
        let problem = CosineProblem {
            batch: 3,
            length: 5,
            options,
            dtype: DType::F32,
        };
        // Two times 15 elements come in; 15 gradients and 3 losses go out; all of 4 bytes.
        let wanted = Cost {
            macs: 0,
            bytes_read: 4 * 30,
            bytes_written: 4 * 18,
        };
        assert_eq!(problem.cost(), wanted);
    }
}
