//! Work and traffic of a flip alignment. The passes over a sample after the first are left out: they find it in a cache.

use super::FlipProblem;
use crate::Cost;

/// Bytes of one code.
const CODE: u64 = size_of::<u32>() as u64;

/// A multiply-accumulate for every element and column of distances; reads both maps, writes gradient, loss, distances, weights and
/// codes.
pub fn fused(problem: &FlipProblem) -> Cost {
    let columns = problem.options.group.columns();
    let elements = problem.batch * problem.positions() * problem.channels;
    let small = problem.batch * (1 + 2 * columns);
    let floats = Cost::of_loss(2 * elements, elements + small, problem.dtype);
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
        let problem = FlipProblem {
            batch: 3,
            height: 2,
            width: 2,
            channels: 5,
            options: FlipOptions::default(),
            dtype: DType::F64,
        };
        // Two maps of 3 x 20 elements come in. Out go the gradient's 60, and 3 losses, 24 distances and 24 weights, all of 8
        // bytes, and 3 codes of 4. Every element meets eight transforms.
        let wanted = Cost {
            macs: 60 * 8,
            bytes_read: 8 * 120,
            bytes_written: 8 * (60 + 51) + 12,
        };
        assert_eq!(problem.cost(), wanted);
    }
}
