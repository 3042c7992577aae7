//! Work and traffic of a flip alignment. The passes over a sample after the first are left out: they find it in a cache.

use super::{FlipProblem, Normalisation, Selection};
use crate::Cost;

/// Bytes of one code.
const CODE: u64 = size_of::<u32>() as u64;

/// A multiply-accumulate for every element and column of distances; a root and its reciprocal for every norm; of a sample's distances the
/// softmax or the smallest, and of a soft minimum its logarithm. Reads both maps, writes gradient, loss, distances, weights and codes.
pub fn fused(problem: &FlipProblem) -> Cost {
    let columns = problem.options.group.columns();
    let elements = problem.batch * problem.positions() * problem.channels;
    let small = problem.batch * (1 + 2 * columns);
    let norms = match problem.options.normalisation {
        Normalisation::None => 0,
        Normalisation::Sample => problem.batch,
        Normalisation::Position => problem.batch * problem.positions(),
    };
    let selection = match problem.options.selection {
        Selection::Hard => Cost::default().with_compares(problem.batch * (columns - 1)),
        Selection::SoftMin { .. } => {
            Cost::of_softmaxes(problem.batch, columns).with_logarithms(problem.batch)
        }
        Selection::Attention { .. } | Selection::Mixed { .. } => {
            Cost::of_softmaxes(problem.batch, columns)
        }
    };
    let floats = Cost::of_loss(2 * elements, elements + small, problem.dtype)
        + Cost::default().with_divisions(2 * 2 * norms)
        + selection;
    Cost {
        bytes_written: floats.bytes_written + problem.batch as u64 * CODE,
        ..floats.with_macs(elements * columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, loss::flip_align::FlipOptions};

    #[test]
    fn a_hand_computed_case() {
        let problem = |selection, normalisation| FlipProblem {
            batch: 3,
            height: 2,
            width: 2,
            channels: 5,
            options: FlipOptions {
                selection,
                normalisation,
                ..FlipOptions::default()
            },
            dtype: DType::F64,
        };
        // Two maps of 3 x 20 elements come in. Out go the gradient's 60, and 3 losses, 24 distances and 24 weights, all of 8
        // bytes, and 3 codes of 4. Every element meets eight transforms.
        let wanted = Cost {
            macs: 60 * 8,
            divisions: 4 * 3,
            compares: 3 * 7,
            bytes_read: 8 * 120,
            bytes_written: 8 * (60 + 51) + 12,
            ..Cost::default()
        };
        let hard = problem(Selection::Hard, Normalisation::Sample);
        assert_eq!(hard.cost(), wanted);
        // Four positions a sample, each with a norm of its own; and a softmax over eight distances.
        let wanted = Cost {
            exponentials: 24,
            logarithms: 3,
            divisions: 4 * 12 + 3,
            ..wanted
        };
        let soft = problem(Selection::SoftMin { tau: 1.0 }, Normalisation::Position);
        assert_eq!(soft.cost(), wanted);
    }
}
