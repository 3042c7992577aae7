//! Work and traffic of softmax attention: the multiply-accumulates are those of its products, the exponentials those of its scores.

use super::AttentionProblem;
use crate::Cost;

/// Samples times heads.
fn matrices(problem: &AttentionProblem) -> usize {
    problem.samples * problem.options.heads
}

/// Bytes of the two numbers that are kept of each query, in the accumulator.
fn kept(problem: &AttentionProblem) -> u64 {
    let elements = matrices(problem) * problem.tokens * 2;
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

/// Reads queries, keys, values and the bias, writes the output and what is kept of each query. Scores need not be in memory.
pub fn forward(problem: &AttentionProblem) -> Cost {
    let [q, v, bias] = elements(problem);
    let macs = problem.tokens * (q + v);
    let mut cost = Cost::traffic(2 * q + v + bias, v, problem.dtype.size()).with_macs(macs);
    cost.bytes_written += kept(problem);
    cost + Cost::of_softmaxes(matrices(problem) * problem.tokens, problem.tokens)
}

/// Reads queries, keys, values, the bias, the output's gradient and what was kept, writes the gradients of all inputs.
/// Multiply-accumulates are those of the gradients, not those of scores that are taken again; of each score there is an exponential
/// again, as nobody kept them.
pub fn backward(problem: &AttentionProblem) -> Cost {
    let [q, v, bias] = elements(problem);
    let macs = 2 * problem.tokens * (q + v);
    let size = problem.dtype.size();
    let mut cost = Cost::traffic(2 * q + 2 * v + bias, 2 * q + v + bias, size).with_macs(macs);
    cost.bytes_read += kept(problem);
    cost.with_exponentials(matrices(problem) * problem.tokens * problem.tokens)
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
        // Queries and keys hold 2 x 6 x 4 x 3 = 144 elements each, values 240, the bias 24; 2 x 4 x 6 x 2 = 96 f32 are kept.
        // 48 queries, of 6 scores each.
        let wanted = Cost {
            macs: 2 * 4 * 36 * (3 + 5),
            exponentials: 288,
            logarithms: 0,
            divisions: 48,
            compares: 48 * 5,
            bytes_read: 2 * (144 + 144 + 240 + 24),
            bytes_written: 2 * 240 + 4 * 96,
        };
        assert_eq!(forward(&problem), wanted);
        let wanted = Cost {
            macs: 2 * 2 * 4 * 36 * (3 + 5),
            exponentials: 288,
            bytes_read: 2 * (144 + 144 + 240 + 240 + 24) + 4 * 96,
            bytes_written: 2 * (144 + 144 + 240 + 24),
            ..Cost::default()
        };
        assert_eq!(backward(&problem), wanted);
    }
}
