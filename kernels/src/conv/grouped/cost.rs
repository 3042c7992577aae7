//! Work and traffic of a grouped convolution. Padding counts as work, as in the published MAC tables.

use super::GroupedProblem;
use crate::Cost;

fn sizes(problem: &GroupedProblem) -> [usize; 3] {
    [
        problem.input_shape().iter().product(),
        problem.weight_shape().iter().product(),
        problem.output_shape().iter().product(),
    ]
}

fn macs(problem: &GroupedProblem) -> usize {
    let [_, _, output] = sizes(problem);
    let [kh, kw, group_in, _] = problem.weight_shape();
    output * kh * kw * group_in
}

/// Reads input and weight, writes the output.
pub fn forward(problem: &GroupedProblem) -> Cost {
    let [input, weight, output] = sizes(problem);
    Cost::traffic(input + weight, output, problem.dtype.size()).with_macs(macs(problem))
}

/// Reads the output's gradient and the weight, writes the input's gradient.
pub fn grad_input(problem: &GroupedProblem) -> Cost {
    let [input, weight, output] = sizes(problem);
    Cost::traffic(output + weight, input, problem.dtype.size()).with_macs(macs(problem))
}

/// Reads the input and the output's gradient, writes the weight's gradient.
pub fn grad_weight(problem: &GroupedProblem) -> Cost {
    let [input, weight, output] = sizes(problem);
    Cost::traffic(input + output, weight, problem.dtype.size()).with_macs(macs(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, conv::dense::ConvOptions};

    #[test]
    fn a_hand_computed_case() {
        let problem = GroupedProblem {
            batch: 2,
            input: [5, 4],
            kernel: [3, 3],
            in_channels: 6,
            out_channels: 8,
            groups: 2,
            options: ConvOptions::square(2, 1),
            dtype: DType::F32,
        };
        // Output 3 x 2: 2*3*2*8 = 96 values of 9*3 = 27 products each; input 2*5*4*6 = 240, weight 9*3*8 = 216 values.
        assert_eq!(
            forward(&problem),
            Cost {
                macs: 96 * 27,
                bytes_read: 4 * (240 + 216),
                bytes_written: 4 * 96,
                ..Cost::default()
            }
        );
        assert_eq!(grad_input(&problem).bytes_written, 4 * 240);
        assert_eq!(grad_weight(&problem).bytes_read, 4 * (240 + 96));
        assert_eq!(grad_weight(&problem).macs, 96 * 27);
    }
}
