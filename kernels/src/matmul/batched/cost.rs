//! Work and traffic of many products in one launch.

use super::BatchedProblem;
use crate::Cost;

/// Reads both factors, writes the products; what is added to all samples alike is not counted.
pub fn forward(problem: &BatchedProblem) -> Cost {
    let &BatchedProblem { m, k, n, dtype, .. } = problem;
    let count = problem.count();
    Cost::traffic(count * (m * k + k * n), count * m * n, dtype.size()).with_macs(count * m * k * n)
}

#[cfg(test)]
mod tests {
    use super::super::{BatchedOptions, Form};
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = BatchedProblem {
            samples: 2,
            m: 3,
            k: 5,
            n: 7,
            options: BatchedOptions {
                heads: 4,
                form: Form::Plain,
                alpha: 1.0,
            },
            dtype: DType::F32,
        };
        let wanted = Cost {
            macs: 8 * 3 * 5 * 7,
            bytes_read: 4 * 8 * (15 + 35),
            bytes_written: 4 * 8 * 21,
            ..Cost::default()
        };
        assert_eq!(forward(&problem), wanted);
    }
}
