//! Work and traffic of max pooling and of its gradient.

use super::MaxPoolProblem;
use crate::Cost;

fn lens(problem: &MaxPoolProblem) -> [usize; 3] {
    let len = |shape: [usize; 4]| shape.iter().product();
    let (input, output) = (problem.input_shape(), problem.output_shape());
    [len(input), len(output), problem.dtype().size()]
}

/// Taps of a window.
fn taps(problem: &MaxPoolProblem) -> usize {
    let [vertical, horizontal] = problem.options().kernel;
    vertical * horizontal
}

/// Reads the input, writes the maxima: each the largest of its window, whose taps in the padding count like any other.
pub fn inference(problem: &MaxPoolProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(input, output, size).with_compares(output * (taps(problem) - 1))
}

/// Reads the input, writes the maxima and their places.
pub fn forward(problem: &MaxPoolProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(input, 2 * output, size).with_compares(output * (taps(problem) - 1))
}

/// Reads places and gradient, writes the input's gradient: each tap of a window asks whether it was the largest.
pub fn backward(problem: &MaxPoolProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(2 * output, input, size).with_compares(output * taps(problem))
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
        // 210 inputs, 72 outputs of 9 taps.
        let of = |read, written, compares| Cost::traffic(read, written, 4).with_compares(compares);
        assert_eq!(inference(&problem), of(210, 72, 72 * 8));
        assert_eq!(forward(&problem), of(210, 144, 72 * 8));
        assert_eq!(backward(&problem), of(144, 210, 72 * 9));
    }
}
