//! Traffic of bilinear resizing and of its gradient.

use super::BilinearProblem;
use crate::Cost;

fn lens(problem: &BilinearProblem) -> [usize; 3] {
    let len = |shape: [usize; 4]| shape.iter().product();
    let (input, output) = (problem.input_shape(), problem.output_shape());
    [len(input), len(output), problem.dtype().size()]
}

/// Reads the input, writes the output. A shrinking that skips pixels is counted as if it read them.
pub fn forward(problem: &BilinearProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(input, output, size)
}

/// Reads the gradient, writes the input's.
pub fn backward(problem: &BilinearProblem) -> Cost {
    let [input, output, size] = lens(problem);
    Cost::traffic(output, input, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::resize::bilinear::Alignment;

    #[test]
    fn a_hand_computed_case() {
        let shape = [2, 5, 6, 3];
        let problem = BilinearProblem::new(shape, DType::F64, [4, 7], Alignment::Corners).unwrap();
        // 180 inputs, 168 outputs.
        assert_eq!(forward(&problem), Cost::traffic(180, 168, 8));
        assert_eq!(backward(&problem), Cost::traffic(168, 180, 8));
    }
}
