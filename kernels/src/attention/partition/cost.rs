//! Traffic of cutting a map into tokens and of joining them.

use super::PartitionProblem;
use crate::Cost;

/// Reads the map, writes the tokens, those of the filling included.
pub fn partition(problem: &PartitionProblem) -> Cost {
    let (map, tokens) = (problem.map_shape(), problem.tokens_shape());
    Cost::traffic(
        map.iter().product(),
        tokens.iter().product(),
        problem.dtype().size(),
    )
}

/// Reads the tokens that are on the map, writes the map.
pub fn merge(problem: &PartitionProblem) -> Cost {
    let map = problem.map_shape().iter().product();
    Cost::traffic(map, map, problem.dtype().size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::attention::partition::PartitionKind;

    #[test]
    fn a_hand_computed_case() {
        for kind in [PartitionKind::Block, PartitionKind::Grid] {
            let problem = PartitionProblem::new([2, 5, 6, 3], DType::F64, kind, [2, 4]).unwrap();
            // 180 elements, filled up to [2, 6, 8, 3].
            assert_eq!(partition(&problem), Cost::traffic(180, 288, 8));
            assert_eq!(merge(&problem), Cost::traffic(180, 180, 8));
        }
    }
}
