//! Work and traffic of a layer or group norm. The later walks over a sample are left out: they find it in a cache.

use super::LayerNormProblem;
use crate::Cost;

/// Reads `x`, `gamma` and `beta`; writes `y` and the moments, for which each sample has a root and its reciprocal.
pub fn forward(problem: &LayerNormProblem) -> Cost {
    let len = problem.samples * problem.pixels * problem.channels;
    let written = len + 2 * problem.samples;
    Cost::traffic(len + 2 * problem.channels, written, problem.dtype.size())
        .with_divisions(2 * problem.samples)
}

/// Reads `x`, the gradient that arrives, `gamma` and the moments; writes three gradients.
pub fn backward(problem: &LayerNormProblem) -> Cost {
    let len = problem.samples * problem.pixels * problem.channels;
    let read = 2 * len + problem.channels + 2 * problem.samples;
    Cost::traffic(read, len + 2 * problem.channels, problem.dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = LayerNormProblem {
            samples: 2,
            pixels: 5,
            channels: 3,
            dtype: DType::F32,
        };
        let of = |cost: Cost| (cost.bytes_read, cost.bytes_written, cost.divisions);
        assert_eq!(of(forward(&problem)), (4 * 36, 4 * 34, 4));
        assert_eq!(of(backward(&problem)), (4 * 67, 4 * 36, 0));
    }
}
