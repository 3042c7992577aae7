//! Work and traffic of a depthwise convolution. Padding counts as work, as in the published MAC tables; a bias or what is fused
//! into an epilogue does not.

use super::DepthwiseProblem;
use crate::Cost;

fn sizes(problem: &DepthwiseProblem) -> [usize; 3] {
    [
        problem.input_shape().iter().product(),
        problem.weight_shape().iter().product(),
        problem.output_shape().iter().product(),
    ]
}

fn cost(problem: &DepthwiseProblem, read: usize, written: usize) -> Cost {
    let [_, _, output] = sizes(problem);
    let taps = problem.kernel[0] * problem.kernel[1];
    Cost::traffic(read, written, problem.dtype.size()).with_macs(output * taps)
}

/// Reads input and weight, writes the output.
pub fn forward(problem: &DepthwiseProblem) -> Cost {
    let [input, weight, output] = sizes(problem);
    cost(problem, input + weight, output)
}

/// Reads the output's gradient and the weight, writes the input's gradient.
pub fn grad_input(problem: &DepthwiseProblem) -> Cost {
    let [input, weight, output] = sizes(problem);
    cost(problem, output + weight, input)
}

/// Reads the input and the output's gradient, writes the weight's gradient.
pub fn grad_weight(problem: &DepthwiseProblem) -> Cost {
    let [input, weight, output] = sizes(problem);
    cost(problem, input + output, weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, conv::depthwise::DepthwiseOptions};

    #[test]
    fn a_hand_computed_case() {
        let problem = DepthwiseProblem {
            batch: 2,
            input: [5, 6],
            kernel: [3, 2],
            channels: 3,
            multiplier: 2,
            options: DepthwiseOptions {
                stride: [2, 1],
                dilation: [1, 2],
                padding: [1, 0, 0, 1],
            },
            dtype: DType::F32,
        };
        // Rows: 5 + 1 less a span of 2, two apart: 2. Columns: 6 + 1 less a span of 2: 5. So 2*2*5*6 = 120 values of 6 products
        // each; input 180, weight 36 values.
        assert_eq!(problem.output_shape(), [2, 2, 5, 6]);
        assert_eq!(
            forward(&problem),
            Cost {
                macs: 120 * 6,
                bytes_read: 4 * (180 + 36),
                bytes_written: 4 * 120,
                ..Cost::default()
            }
        );
        assert_eq!(grad_input(&problem).bytes_read, 4 * (120 + 36));
        assert_eq!(grad_input(&problem).bytes_written, 4 * 180);
        assert_eq!(grad_weight(&problem).bytes_read, 4 * (180 + 120));
        assert_eq!(grad_weight(&problem).bytes_written, 4 * 36);
        assert_eq!(grad_weight(&problem).macs, 120 * 6);
    }
}
