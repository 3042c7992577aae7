//! Work and traffic of softmax attention: the multiply-accumulates are those of its products.

use super::AttentionProblem;
use crate::Cost;

/// Samples times heads.
fn matrices(problem: &AttentionProblem) -> usize {
    problem.samples * problem.options.heads
}

/// Bytes of the probabilities, which are kept in the accumulator.
fn probabilities(problem: &AttentionProblem) -> u64 {
    let elements = matrices(problem) * problem.tokens * problem.tokens;
    (elements * problem.dtype.accumulator().size()) as u64
}

/// Elements of queries and values, and of the bias.
fn elements(problem: &AttentionProblem) -> [usize; 3] {
    let rows = matrices(problem) * problem.tokens;
    let bias = problem
        .options
        .offsets
        .map_or(0, |_| problem.options.heads * problem.tokens);
    [rows * problem.dim, rows * problem.dim_v, bias]
}

/// Reads queries, keys, values and the bias, writes the output and the probabilities, which are kept.
pub fn forward(problem: &AttentionProblem) -> Cost {
    let [q, v, bias] = elements(problem);
    let macs = problem.tokens * (q + v);
    let mut cost = Cost::traffic(2 * q + v + bias, v, problem.dtype.size()).with_macs(macs);
    cost.bytes_written += probabilities(problem);
    cost
}

/// Reads queries, keys, values, the output's gradient and the probabilities, writes the gradients of all inputs.
pub fn backward(problem: &AttentionProblem) -> Cost {
    let [q, v, bias] = elements(problem);
    let macs = 2 * problem.tokens * (q + v);
    let size = problem.dtype.size();
    let mut cost = Cost::traffic(2 * q + 2 * v, 2 * q + v + bias, size).with_macs(macs);
    cost.bytes_read += probabilities(problem);
    cost
}

#[cfg(test)]
mod tests {
    use super::super::AttentionOptions;
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = AttentionProblem {
            samples: 2,
            tokens: 6,
            dim: 3,
            dim_v: 5,
            options: AttentionOptions {
                heads: 4,
                scale: 1.0,
                offsets: Some([2, 3]),
            },
            dtype: DType::F16,
        };
        // Queries and keys hold 2 x 6 x 4 x 3 = 144 elements each, values 240, the bias 24, the probabilities 2 x 4 x 36 = 288 of f32.
        let wanted = Cost {
            macs: 2 * 4 * 36 * (3 + 5),
            bytes_read: 2 * (144 + 144 + 240 + 24),
            bytes_written: 2 * 240 + 4 * 288,
        };
        assert_eq!(forward(&problem), wanted);
        let wanted = Cost {
            macs: 2 * 2 * 4 * 36 * (3 + 5),
            bytes_read: 2 * (144 + 144 + 240 + 240) + 4 * 288,
            bytes_written: 2 * (144 + 144 + 240 + 24),
        };
        assert_eq!(backward(&problem), wanted);
    }
}
