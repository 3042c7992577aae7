//! Traffic of max pooling and of its gradient.

use super::MaxPoolProblem;
use crate::Cost;

fn lens(problem: &MaxPoolProblem) -> [usize; 3] {
    let len = |shape: [usize; 4]| shape.iter().product();
    let (input, output) = (problem.input_shape(), problem.output_shape());
    [len(input), len(output), problem.dtype().size()]
}

/// Reads the input, writes the maxima.
pub fn inference(problem: &MaxPoolProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(input, output, size)
}

/// Reads the input, writes the maxima and their places.
pub fn forward(problem: &MaxPoolProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(input, 2 * output, size)
}

/// Reads places and gradient, writes the input's gradient.
pub fn backward(problem: &MaxPoolProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(2 * output, input, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::pool::max::MaxPoolOptions;

    #[test]
    fn a_hand_computed_case() {
        let options = MaxPoolOptions::square(3, 2, 1);
        let problem = MaxPoolProblem::new([2, 5, 7, 3], DType::F32, options).unwrap();
        assert_eq!(problem.output_shape(), [2, 3, 4, 3]);
        // 210 inputs, 72 outputs.
        assert_eq!(inference(&problem), Cost::traffic(210, 72, 4));
        assert_eq!(forward(&problem), Cost::traffic(210, 144, 4));
        assert_eq!(backward(&problem), Cost::traffic(144, 210, 4));
    }
}
