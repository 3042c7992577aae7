//! Work and traffic of a Ghost module: those of the operations that it is made of.

use super::GhostProblem;
use crate::Cost;
use crate::conv::{dense, depthwise};
use crate::norm::batch_norm::{self, BatchNormProblem};

fn norms(problem: &GhostProblem) -> [BatchNormProblem; 2] {
    let [n, h, w, m] = problem.primary.output_shape();
    [m, problem.cheap.out_channels()].map(|channels| BatchNormProblem {
        pixels: n * h * w,
        channels,
        dtype: problem.primary.dtype,
    })
}

/// Both convolutions and both norms.
pub fn train(problem: &GhostProblem) -> Cost {
    let [primary, cheap] = norms(problem).map(|norm| batch_norm::cost::forward(&norm, false));
    dense::cost::forward(&problem.primary)
        + primary
        + depthwise::cost::forward(&problem.cheap)
        + cheap
}

/// Both gradients of both convolutions, and the norms'.
pub fn backward(problem: &GhostProblem) -> Cost {
    let [primary, cheap] = norms(problem).map(|norm| batch_norm::cost::backward(&norm, false));
    dense::cost::grad_input(&problem.primary)
        + dense::cost::grad_weight(&problem.primary)
        + primary
        + depthwise::cost::grad_input(&problem.cheap)
        + depthwise::cost::grad_weight(&problem.cheap)
        + cheap
}

/// Both convolutions; their norms ride along.
pub fn infer(problem: &GhostProblem) -> Cost {
    dense::cost::forward(&problem.primary) + depthwise::cost::forward(&problem.cheap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::conv::dense::{ConvOptions, ConvProblem};
    use crate::conv::depthwise::{DepthwiseOptions, DepthwiseProblem};

    #[test]
    fn the_macs_are_those_of_the_published_formula() {
        // H' W' (c k^2 m + m (s - 1) d^2) for 5 x 4 pixels, 6 to 2 x 8 channels, k = 1, d = 3.
        let problem = GhostProblem {
            primary: ConvProblem {
                batch: 1,
                input: [5, 4],
                kernel: [1, 1],
                in_channels: 6,
                out_channels: 8,
                options: ConvOptions::square(1, 0),
                dtype: DType::F32,
            },
            cheap: DepthwiseProblem {
                batch: 1,
                input: [5, 4],
                kernel: [3, 3],
                channels: 8,
                multiplier: 1,
                options: DepthwiseOptions::square(1, 1),
                dtype: DType::F32,
            },
            channels: 16,
        };
        assert_eq!(infer(&problem).macs, 20 * (6 * 8 + 8 * 9));
        assert_eq!(train(&problem).macs, infer(&problem).macs);
        assert_eq!(backward(&problem).macs, 2 * infer(&problem).macs);
    }
}
