//! Traffic of adaptive average pooling and of its gradient.

use super::AdaptiveAverageProblem;
use crate::Cost;

fn lens(problem: &AdaptiveAverageProblem) -> [usize; 3] {
    let len = |shape: [usize; 4]| shape.iter().product();
    let (input, output) = (problem.input_shape(), problem.output_shape());
    [len(input), len(output), problem.dtype().size()]
}

/// Reads the input, writes the means.
pub fn forward(problem: &AdaptiveAverageProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(input, output, size)
}

/// Reads the gradient, writes the input's.
pub fn backward(problem: &AdaptiveAverageProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(output, input, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_hand_computed_case() {
        let problem = AdaptiveAverageProblem::new([2, 5, 6, 3], DType::F64, [2, 3]).unwrap();
        assert_eq!(problem.output_shape(), [2, 2, 3, 3]);
        // 180 inputs, 36 outputs.
        assert_eq!(forward(&problem), Cost::traffic(180, 36, 8));
        assert_eq!(backward(&problem), Cost::traffic(36, 180, 8));
    }
}
