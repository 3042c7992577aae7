//! Work and traffic of a linear attention. The later walks over a sample's group are left out: they find it in a cache.

use super::LinearAttentionProblem;
use crate::Cost;

/// The products `k^T [v, 1]` and `q (k^T [v, 1])`, a ReLU of every query and key and a reciprocal a token. Reads `qkv`, writes the result.
pub fn forward(problem: &LinearAttentionProblem) -> Cost {
    let heads = heads(problem);
    Cost::traffic(3 * heads, heads, problem.dtype.size())
        .with_macs(2 * product(problem))
        .with_divisions(problem.pairs() * problem.tokens)
        .with_compares(2 * heads)
}

/// The first product again, and both gradients of both; the ReLUs and the reciprocals again. Reads `qkv` and the gradient that arrives, writes that of `qkv`.
pub fn backward(problem: &LinearAttentionProblem) -> Cost {
    let heads = heads(problem);
    Cost::traffic(4 * heads, 3 * heads, problem.dtype.size())
        .with_macs(5 * product(problem))
        .with_divisions(problem.pairs() * problem.tokens)
        .with_compares(2 * heads)
}

/// Elements of all queries.
fn heads(problem: &LinearAttentionProblem) -> usize {
    problem.pairs() * problem.tokens * problem.head
}

/// Multiply-accumulates of one product.
fn product(problem: &LinearAttentionProblem) -> usize {
    heads(problem) * (problem.head + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = LinearAttentionProblem {
            samples: 2,
            tokens: 5,
            groups: 3,
            head: 4,
            dtype: DType::F32,
        };
        // 30 queries of 4 channels, times the 5 columns of a state and its sum of keys.
        let counts = |cost: Cost| (cost.macs, cost.bytes_read, cost.bytes_written);
        assert_eq!(counts(forward(&problem)), (2 * 600, 4 * 360, 4 * 120));
        assert_eq!(counts(backward(&problem)), (5 * 600, 4 * 480, 4 * 360));
        for cost in [forward(&problem), backward(&problem)] {
            assert_eq!((cost.divisions, cost.compares), (30, 2 * 120));
        }
    }
}
