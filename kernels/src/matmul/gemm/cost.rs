//! Work and traffic of `[m, k] x [k, n]` and of its gradients.

use super::GemmProblem;
use crate::Cost;

fn macs(problem: &GemmProblem) -> usize {
    problem.m * problem.k * problem.n
}

/// Reads `a`, `b` and the bias, writes the product.
pub fn forward(problem: &GemmProblem) -> Cost {
    let &GemmProblem {
        m,
        k,
        n,
        bias,
        dtype,
    } = problem;
    let read = m * k + k * n + if bias { n } else { 0 };
    Cost::traffic(read, m * n, dtype.size()).with_macs(macs(problem))
}

/// Reads `b` and the product's gradient, writes the gradient of `a`.
pub fn grad_a(problem: &GemmProblem) -> Cost {
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    Cost::traffic(m * n + k * n, m * k, dtype.size()).with_macs(macs(problem))
}

/// Reads `a` and the product's gradient, writes the gradient of `b`.
pub fn grad_b(problem: &GemmProblem) -> Cost {
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    Cost::traffic(m * n + m * k, k * n, dtype.size()).with_macs(macs(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = GemmProblem {
            m: 2,
            k: 3,
            n: 5,
            bias: true,
            dtype: DType::F64,
        };
        let cost = forward(&problem);
        assert_eq!(
            cost,
            Cost {
                macs: 30,
                bytes_read: 8 * (6 + 15 + 5),
                bytes_written: 80,
                ..Cost::default()
            }
        );
        assert_eq!(grad_a(&problem).bytes_written, 8 * 6);
        assert_eq!(grad_b(&problem).bytes_read, 8 * (10 + 6));
    }
}
