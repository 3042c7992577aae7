//! Work and traffic of separable attention. Its products are element by element, so that it has no multiply-accumulates of matrices.

use super::SeparableProblem;
use crate::Cost;

/// Elements of `qkv`, of the result, and of what is saved.
fn lens(problem: &SeparableProblem) -> [usize; 3] {
    let of = |length: usize| problem.samples * length;
    let (tokens, channels) = (problem.tokens, problem.channels);
    [
        of(tokens * (1 + 2 * channels)),
        of(tokens * channels),
        of(tokens + channels),
    ]
}

/// Reads `qkv`, writes the result and what is saved: a softmax over the tokens of each sample, a ReLU of each value.
pub fn forward(problem: &SeparableProblem) -> Cost {
    let [qkv, out, saved] = lens(problem);
    let accumulator = problem.dtype.accumulator().size();
    let traffic = Cost::traffic(qkv, out, problem.dtype.size());
    traffic
        + Cost::traffic(0, saved, accumulator).with_compares(out)
        + Cost::of_softmaxes(problem.samples, problem.tokens)
}

/// Reads `qkv`, the gradient and what was saved, writes the gradient of `qkv`; the ReLU is taken again.
pub fn backward(problem: &SeparableProblem) -> Cost {
    let [qkv, out, saved] = lens(problem);
    let accumulator = problem.dtype.accumulator().size();
    Cost::traffic(qkv + out, qkv, problem.dtype.size()).with_compares(out)
        + Cost::traffic(saved, 0, accumulator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = SeparableProblem {
            samples: 2,
            tokens: 3,
            channels: 5,
            dtype: DType::F16,
        };
        // 66 elements of `qkv`, 30 of the result, and 16 in 32 bits.
        let traffic = |cost: Cost| (cost.bytes_read, cost.bytes_written, cost.macs);
        assert_eq!(traffic(forward(&problem)), (132, 60 + 64, 0));
        assert_eq!(traffic(backward(&problem)), (132 + 60 + 64, 132, 0));
        // Two softmaxes of three queries: two comparisons each; and 30 values.
        let work = |cost: Cost| (cost.exponentials, cost.divisions, cost.compares);
        assert_eq!(work(forward(&problem)), (6, 2, 4 + 30));
        assert_eq!(work(backward(&problem)), (0, 0, 30));
    }
}
