//! Work and traffic of the cosine loss. The later reads of a row are left out: they find the row in a cache.

use super::{Comparison, CosineProblem};
use crate::Cost;

/// The lengths of a sample's two vectors, without traffic: of each a root, its reciprocal, and the comparison with the least that it is
/// divided by, which vectors of probabilities do without.
pub(crate) fn lengths(batch: usize, between: Comparison) -> Cost {
    let compares = match between {
        Comparison::Softmaxes(_) => 0,
        Comparison::Rows | Comparison::CentredRows => 2 * batch,
    };
    Cost::default()
        .with_divisions(4 * batch)
        .with_compares(compares)
}

/// Reads student and teacher, writes loss and gradient; where softmaxes are compared, those of both.
pub fn fused(problem: &CosineProblem) -> Cost {
    let elements = problem.batch * problem.length;
    let softmaxes = match problem.options.between {
        Comparison::Softmaxes(_) => Cost::of_softmaxes(2 * problem.batch, problem.length),
        Comparison::Rows | Comparison::CentredRows => Cost::default(),
    };
    Cost::of_loss(2 * elements, elements + problem.batch, problem.dtype)
        + lengths(problem.batch, problem.options.between)
        + softmaxes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::cosine::CosineOptions};

    #[test]
    fn a_hand_computed_case() {
        let problem = |between| CosineProblem {
            batch: 3,
            length: 5,
            options: CosineOptions::of(between),
            dtype: DType::F32,
        };
        // Two times 15 elements come in; 15 gradients and 3 losses go out; all of 4 bytes.
        let wanted = Cost {
            divisions: 12,
            compares: 6,
            bytes_read: 4 * 30,
            bytes_written: 4 * 18,
            ..Cost::default()
        };
        assert_eq!(problem(Comparison::CentredRows).cost(), wanted);
        // Six softmaxes of five elements on top.
        let wanted = Cost {
            exponentials: 30,
            divisions: 12 + 6,
            compares: 24,
            ..wanted
        };
        assert_eq!(problem(Comparison::Softmaxes(2.0)).cost(), wanted);
    }
}
