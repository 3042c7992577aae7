//! Work and traffic of weighing two teachers. The second read of a row is left out: it finds the row in a cache.

use super::{DualTeacherProblem, Scope};
use crate::Cost;

/// Numbers that are written for one pair of confidences.
const WEIGHTS_AND_FACTORS: usize = 7;

/// Reads both teachers' logits, and writes weights and factors: of each sample, or, with two confidences a row written and read on the
/// way, of the batch. A confidence is the largest entry of a softmax, which takes all of its exponentials; the rule's few numbers are not
/// counted.
pub fn weigh(problem: &DualTeacherProblem) -> Cost {
    let &DualTeacherProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let (confidences, pairs) = match options.scope {
        Scope::Batch => (2 * batch, 1),
        Scope::Sample => (0, batch),
    };
    let accumulator = dtype.accumulator().size();
    let logits = Cost::traffic(2 * batch * classes, 0, dtype.size());
    let written = confidences + WEIGHTS_AND_FACTORS * pairs;
    logits
        + Cost::traffic(confidences, written, accumulator)
        + Cost::of_softmaxes(2 * batch, classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::dual_teacher::DualTeacherOptions};

    #[test]
    fn hand_computed_cases() {
        let problem = |scope, dtype| DualTeacherProblem {
            batch: 3,
            classes: 5,
            options: DualTeacherOptions {
                scope,
                ..DualTeacherOptions::default()
            },
            dtype,
        };
        // Two times 15 logits and 6 confidences come in; the confidences, 4 weights and 3 factors go out.
        let of_batch = Cost {
            exponentials: 30,
            divisions: 6,
            compares: 24,
            bytes_read: 4 * 36,
            bytes_written: 4 * 13,
            ..Cost::default()
        };
        assert_eq!(problem(Scope::Batch, DType::F32).cost(), of_batch);
        // Two times 15 logits of 2 bytes come in; 12 weights and 9 factors of 4 go out.
        let of_samples = Cost {
            bytes_read: 2 * 30,
            bytes_written: 4 * 21,
            ..of_batch
        };
        assert_eq!(problem(Scope::Sample, DType::F16).cost(), of_samples);
    }
}
