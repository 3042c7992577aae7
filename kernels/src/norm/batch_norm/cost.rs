//! Work and traffic of a fused batch norm; it has no multiply-accumulates in the published sense. Each channel has a root and its
//! reciprocal, save in the gradient, which finds them kept; the clamp is not counted.

use super::BatchNormProblem;
use crate::Cost;

/// Training: reads `x` for its moments and again to normalise it (and the residual), writes `y`.
pub fn forward(problem: &BatchNormProblem, residual: bool) -> Cost {
    let len = problem.pixels * problem.channels;
    let per_channel = 2 * problem.channels;
    let reads = if residual { 3 } else { 2 };
    Cost::traffic(
        reads * len + per_channel,
        len + per_channel,
        problem.dtype.size(),
    )
    .with_divisions(2 * problem.channels)
}

/// Training by a reader that normalises: reads `x` for its moments.
pub fn statistics(problem: &BatchNormProblem) -> Cost {
    let len = problem.pixels * problem.channels;
    let per_channel = 2 * problem.channels;
    Cost::traffic(len + per_channel, per_channel, problem.dtype.size())
        .with_divisions(2 * problem.channels)
}

/// Inference: reads `x` (and the residual) once, writes `y`.
pub fn inference(problem: &BatchNormProblem, residual: bool) -> Cost {
    let len = problem.pixels * problem.channels;
    let reads = if residual { 2 } else { 1 };
    Cost::traffic(
        reads * len + 4 * problem.channels,
        len,
        problem.dtype.size(),
    )
    .with_divisions(2 * problem.channels)
}

/// Reads `x` and the gradient twice; with a residual also `y`, and writes the residual's gradient between the two passes.
pub fn backward(problem: &BatchNormProblem, residual: bool) -> Cost {
    let len = problem.pixels * problem.channels;
    let (reads, writes) = if residual { (5, 2) } else { (4, 1) };
    let per_channel = 4 * problem.channels;
    Cost::traffic(
        reads * len + per_channel,
        writes * len + per_channel / 2,
        problem.dtype.size(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = BatchNormProblem {
            pixels: 10,
            channels: 3,
            dtype: DType::F32,
        };
        assert_eq!(forward(&problem, false).bytes_read, 4 * (60 + 6));
        assert_eq!(statistics(&problem).bytes_read, 4 * (30 + 6));
        assert_eq!(inference(&problem, true).bytes_read, 4 * (60 + 12));
        assert_eq!(backward(&problem, true).bytes_written, 4 * (60 + 6));
        // A root and a reciprocal for each of three channels, which the gradient finds kept.
        let all = [
            forward(&problem, true),
            statistics(&problem),
            inference(&problem, false),
            backward(&problem, false),
        ];
        assert_eq!(all.map(|cost| cost.divisions), [6, 6, 6, 0]);
    }
}
